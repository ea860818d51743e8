//! VirtualServices that leave rules to others. Roots and delegates are kept as written; what goes on to the mesh is the
//! root with its delegates' rules in place, made anew when any of them changes.

use std::sync::Arc;

use super::Store;
use super::index::replace;
use crate::changes::Changes;
use crate::config::VirtualService;
use crate::value::NamespacedName;

impl Store {
    /// Takes in a VirtualService as written, or its end.
    pub(super) fn take_virtual_service(
        &mut self,
        name: &NamespacedName,
        new: Option<VirtualService>,
        changes: &mut Changes,
    ) {
        let written = &mut Arc::make_mut(&mut self.mesh).written;
        replace(&mut written.virtual_services, name, new.map(Arc::new));
        let new = written.virtual_services.get(name).cloned();
        written.roots.remove(name);
        let was_delegate = written.delegates.remove(name).is_some();
        match new {
            // It leads nowhere by itself, so nothing waits for its destinations: its roots do.
            Some(delegate) if delegate.hosts.is_empty() => {
                written.delegates.insert(name.clone(), delegate.clone());
                self.forget_held(name);
                self.put_virtual_service(name, Some(delegate), changes);
                self.renew_roots(Some(name), changes);
                return;
            }
            Some(root) if root.delegates().next().is_some() => {
                written.roots.insert(name.clone(), root.clone());
                let whole = self.with_delegates(&root);
                self.set_virtual_service(name, Some(Arc::new(whole)), changes);
            }
            other => self.set_virtual_service(name, other, changes),
        }
        if was_delegate {
            self.renew_roots(Some(name), changes);
        }
    }

    /// Makes the roots of one delegate anew, or all of them.
    pub(super) fn renew_roots(&mut self, delegate: Option<&NamespacedName>, changes: &mut Changes) {
        let concerned = |root: &&Arc<VirtualService>| {
            delegate.is_none_or(|name| root.delegates().any(|(_, of)| of == *name))
        };
        let roots: Vec<_> = self.mesh.written.roots.values().filter(concerned).cloned().collect();
        for root in roots {
            let whole = self.with_delegates(&root);
            self.set_virtual_service(&root.meta.name, Some(Arc::new(whole)), changes);
        }
    }

    /// A root with rules in place of its delegates. One that doesn't exist, or isn't exported to the root's namespace,
    /// adds none.
    fn with_delegates(&self, root: &VirtualService) -> VirtualService {
        root.with_delegates(|name| {
            let delegate = self.mesh.written.delegates.get(name)?;
            self.mesh
                .is_virtual_service_exported(delegate, &root.meta.name.namespace)
                .then_some(&delegate.spec.http[..])
        })
    }
}
