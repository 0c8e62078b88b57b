//! Refuses a release build without the web interface. It builds nothing itself.

#[expect(clippy::disallowed_methods, reason = "cargo speaks to a build script by its environment")]
fn main() {
    println!("cargo::rerun-if-changed=assets/dist/index.html");
    println!("cargo::rerun-if-changed=src/store/migrations");
    let release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    assert!(
        !release || std::path::Path::new("assets/dist/index.html").exists(),
        "the web interface is not built: run `./appliance/quickstart --build-only`, \
         or `npm ci && npm run build` in assets/"
    );
}
