//! What proxies that resolve names are told.

use prost::Message as _;
use translate::ResourceType::NameTable;

use crate::fixture::{BOOKINFO, Rig};

/// What every name means, as `name: addresses`.
fn told(rig: &Rig) -> Vec<String> {
    let lines = rig.resources.iter(NameTable).flat_map(|resource| {
        let table = xds::NameTable::decode(&*resource.body).unwrap().table;
        table.into_iter().map(|(name, info)| format!("{name}: {}", info.ips.join(" ")))
    });
    lines.collect()
}

fn entry(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}, namespace: shop}}\nspec: {spec}\n"
    )
}

const DATABASE: &str = "{hosts: [db.example.com], ports: [{number: 5432, name: tcp}], resolution: DNS}";

#[test]
fn services_and_hosts_with_addresses_are_told() {
    let headless = "
apiVersion: v1
kind: Service
metadata: {name: headless, namespace: shop}
spec: {clusterIP: None, ports: [{name: http, port: 80}]}
";
    let rig = Rig::resolving(
        "trysail",
        &[
            BOOKINFO,
            headless,
            &entry(
                "wild",
                "{hosts: ['*.example.org'], addresses: [192.0.2.7], ports: [{number: 80, name: http}]}",
            ),
            &entry(
                "range",
                "{hosts: [range.test], addresses: [192.0.2.0/24], ports: [{number: 80, name: http}]}",
            ),
            &entry("none", "{hosts: [none.test], ports: [{number: 80, name: http}], resolution: NONE}"),
        ],
    );
    let told = told(&rig);
    assert!(told.contains(&"reviews.shop.svc.cluster.local: 10.0.0.1".to_owned()), "{told:?}");
    assert!(told.contains(&"*.example.org: 192.0.2.7".to_owned()), "{told:?}");
    for absent in ["headless", "range", "none"] {
        assert!(!told.iter().any(|line| line.contains(absent)), "{told:?}");
    }
}

#[test]
fn a_host_without_an_address_has_the_one_that_the_mesh_gave_it() {
    let mut rig = Rig::resolving("trysail", &[BOOKINFO]);
    let before = told(&rig);
    let delta = rig.apply(&entry("db", DATABASE));
    let names = delta.changed.iter().filter(|(kind, _)| *kind == NameTable);
    assert_eq!(names.map(|(_, one)| &*one.name).collect::<Vec<_>>(), ["db.example.com"], "and no other");
    let after = told(&rig);
    let new: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
    assert!(matches!(&new[..], [line] if line.starts_with("db.example.com: 240.240.")), "{new:?}");
    rig.delete(&entry("db", DATABASE));
    assert_eq!(told(&rig), before);
}

#[test]
fn who_does_not_see_a_host_is_not_told_of_it_and_who_does_not_answer_is_told_nothing() {
    let hidden = DATABASE.replace("resolution", "exportTo: [other], resolution");
    assert!(
        !told(&Rig::resolving("trysail", &[&entry("db", &hidden)]))
            .iter()
            .any(|line| line.contains("example"))
    );
    for rig in [Rig::trysail(&[BOOKINFO]), Rig::resolving("", &[BOOKINFO]), Rig::gateway(&[BOOKINFO])] {
        assert!(told(&rig).is_empty());
    }
}
