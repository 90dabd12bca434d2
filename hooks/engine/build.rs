//! Links the unwinder of panics into each program. libgcc_s.so is one library more to load, which takes a tenth of a hook's time
//! when nothing concerns portero.

fn main() -> std::io::Result<()> {
    let folder = std::env::var("OUT_DIR").map_err(std::io::Error::other)?;
    // The linker finds this script before the library of the same name.
    let script = "GROUP ( -lgcc_eh -lgcc )\n";
    std::fs::write(format!("{folder}/libgcc_s.so"), script)?;
    println!("cargo::rustc-link-search=native={folder}");
    println!("cargo::rerun-if-changed=build.rs");
    Ok(())
}
