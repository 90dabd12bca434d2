//! tmp
use crate::world::{web, World};
use portero_lab::Scenario;
pub const SCENARIOS: &[Scenario<World>] = &[Scenario {
    name: "explore",
    run: explore,
}];
fn explore(world: &mut World) {
    let _ = world.lab.file("web.xml", &world.lab.domain_xml(&web("")));
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/explore.sh");
    let ran = world.lab.run("bash", &[root]);
    println!("{}\n{}", ran.stdout, ran.stderr);
}
