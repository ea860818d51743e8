//! The evaluator, and what all of its steps get.

use std::cell::RefCell;
use std::collections::HashMap;

use model::{Mesh, Scope};
use regex::Regex;

use crate::decision::Decision;
use crate::question::{Request, Role, Source};
use crate::unanswerable::Unanswerable;
use crate::{gateway, paths, sidecar};

/// Reads the rules of one mesh.
#[derive(Debug)]
pub struct Evaluator<'a> {
    mesh: &'a Mesh,
    /// Compiled expressions, which take longer to make than anything else here.
    regexes: RefCell<HashMap<String, Option<Regex>>>,
    /// Workloads of a service whose endpoints nobody told of are taken to be ready.
    pub(crate) expects: bool,
}

impl<'a> Evaluator<'a> {
    /// For a mesh.
    pub fn new(mesh: &'a Mesh) -> Self {
        Self { mesh, regexes: RefCell::default(), expects: false }
    }

    /// Where the mesh was read from manifests, which say nothing of endpoints: workloads that a service selects are
    /// expected to be ready.
    #[must_use]
    pub fn expecting_workloads(self) -> Self {
        Self { expects: true, ..self }
    }

    /// The way of a request.
    ///
    /// # Errors
    /// When the question names what isn't there, or what the sender can't see.
    pub fn explain(&self, source: &Source, request: &Request) -> Result<Decision, Unanswerable> {
        let steps = self.mesh.settings.config.path_normalization.as_ref().and_then(|it| it.normalization);
        let read = Request { path: paths::read(&request.path, steps.unwrap_or_default()), ..request.clone() };
        let view = View {
            evaluator: self,
            mesh: self.mesh,
            source,
            request: &read,
            scope: self.scope(source),
            authority: read.authority(),
        };
        let mut decision = match source.role {
            Role::Sidecar => sidecar::explain(&view),
            Role::Gateway => gateway::explain(&view),
        }?;
        if read.path != request.path {
            decision.notes.push(format!("the path {} is read as {}", request.path, read.path));
        }
        Ok(decision)
    }

    fn scope<'v>(&'v self, source: &'v Source) -> Scope<'v> {
        let sidecar = match source.role {
            Role::Sidecar => self.mesh.sidecar_of(&source.namespace, &source.labels),
            Role::Gateway => None,
        };
        Scope::new(self.mesh, &source.namespace, sidecar.map(|sidecar| &sidecar.meta.name))
    }

    /// A compiled expression in RE2's dialect; none if it is none.
    pub(crate) fn regex(&self, pattern: &str, whole: bool) -> Option<Regex> {
        let text = xds::re2::to_rust(pattern);
        let text = if whole { format!("^(?:{text})$") } else { text };
        let mut known = self.regexes.borrow_mut();
        known.entry(text.clone()).or_insert_with(|| Regex::new(&text).ok()).clone()
    }
}

/// One question about one mesh.
pub(crate) struct View<'a> {
    pub(crate) evaluator: &'a Evaluator<'a>,
    pub(crate) mesh: &'a Mesh,
    pub(crate) source: &'a Source,
    pub(crate) request: &'a Request,
    pub(crate) scope: Scope<'a>,
    /// The request's authority.
    pub(crate) authority: String,
}

impl View<'_> {
    /// A decision with nothing decided yet.
    pub(crate) fn begin(
        &self,
        listener: crate::decision::Listener,
        outcome: crate::outcome::Outcome,
    ) -> Decision {
        let Source { name, namespace, role, .. } = self.source;
        let kind = match role {
            Role::Sidecar => "sidecar",
            Role::Gateway => "gateway",
        };
        Decision {
            from: format!("{name} ({kind}, namespace {namespace})"),
            request: format!("{} {}{}", self.request.method, self.authority, self.request.path),
            path: self.request.path.clone(),
            service: None,
            listener,
            routes: None,
            virtual_host: None,
            virtual_services: Vec::new(),
            rules: Vec::new(),
            not_reached: 0,
            outcome,
            notes: Vec::new(),
        }
    }
}
