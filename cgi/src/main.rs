//! The web pages of the router app.
//!
//! One program behind all pages: `www/*.cgi` are links to it, and the name it is called by says
//! which page is meant. The web server starts it anew for every request (RFC 3875).
#![forbid(unsafe_code)]

mod apply;
mod check;
mod form;
mod global;
mod html;
mod layout;
mod module;
mod observer;
mod overview;
mod request;
mod response;
#[cfg(test)]
mod scratch;
mod system_log;
mod token;

use std::ffi::OsStr;
use std::io::{self, Read};

use module::Module;
use request::{Environment, Method, Page};
use response::{Refusal, Response};

fn main() {
    let environment = Environment::of_process();
    let program = std::env::args_os().next();
    let response =
        answer(&environment, program.as_deref(), io::stdin()).unwrap_or_else(Response::from);
    let with_body = environment.method() != Ok(Method::Head);
    // A browser that has gone away is nobody's fault.
    let _ = response.write_to(&mut io::stdout().lock(), with_body);
}

fn answer(
    environment: &Environment,
    program: Option<&OsStr>,
    input: impl Read + Send + 'static,
) -> Result<Response, Refusal> {
    let page = environment.page(program)?;
    let method = environment.method()?;
    let module = Module::of_process()?;
    match (page, method) {
        (Page::Set, Method::Post) => apply::answer(&module, environment, input),
        // Somebody came by the address bar; there is nothing to see, and nothing is changed by
        // looking.
        (Page::Set, Method::Get | Method::Head) => Ok(Response::see_other("index.cgi")),
        (_, Method::Post) => Err(request::not_allowed(
            "GET, HEAD",
            "Nothing can be sent to this page.",
        )),
        (Page::Global, _) => global::answer(&module, environment),
        (Page::Overview, _) => Ok(overview::answer(&module)),
        (Page::SystemLog, _) => Ok(system_log::answer(&module, environment)),
    }
}
