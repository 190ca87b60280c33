//! Writes one of the demo's images to standard output, for `docker load`: no registry is needed.
//!
//! ```text
//! demo_image REFERENCE VERSION [NAME=VALUE]...
//! ```
//! VERSION is what its web server answers; NAME=VALUE are further variables of its environment, such as
//! `HEALTH=fail`.

use std::env;
use std::io::{self, Write};

use anyhow::{Context, Result};
use longshore_tests::harness::webapp;

fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let (reference, version) = arguments
        .next()
        .zip(arguments.next())
        .context("usage: demo_image REFERENCE VERSION [NAME=VALUE]...")?;
    let mut image = webapp(&reference, &version)?.label("dev.longshore.made-by", "scripts/demo.sh");
    for variable in arguments {
        let (name, value) = variable
            .split_once('=')
            .with_context(|| format!("{variable} is no NAME=VALUE"))?;
        image = image.env(name, value);
    }
    io::stdout()
        .write_all(&image.build().archive)
        .context("writing the image")
}
