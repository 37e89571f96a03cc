//! Apply: what the form is posted to.
//!
//! Everything is checked before anything is done. Either the whole form becomes the settings file
//! and the broker is told, or nothing is changed, every error is shown beside its field and what
//! was typed still stands there.

use std::io;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;

use settings::form::{self, FormError};
use settings::{Problem, Values};

use crate::check;
use crate::form::Form;
use crate::global;
use crate::html::Html;
use crate::layout::Outcome;
use crate::module::Module;
use crate::request::{Environment, Sender};
use crate::response::{Refusal, Response, Status};
use crate::token::Token;

/// The fields of the form that are no settings.
const TOKEN: &str = "token";
const BUTTON: &str = "button";

/// Closes what the web server may have left open, so that the broker does not keep its sockets, and
/// becomes the init script, which is `$0`.
const RELOAD: &str = "exec 3<&- 4<&- 5<&- 6<&- 7<&- 8<&- 9<&-; exec \"$0\" reload";

pub(crate) fn answer(
    module: &Module,
    environment: &Environment,
    input: impl Read + Send + 'static,
) -> Result<Response, Refusal> {
    let sender = environment.sender();
    if sender == Sender::Foreign {
        let message = "The form was not sent by a page of this router. Nothing was changed.";
        return Err(Refusal::new(Status::Forbidden, message));
    }
    let body = environment.body(input)?;
    let token = global::token(module)?;
    let is_ours = form::pairs(&body)?
        .iter()
        .any(|(name, value)| name == TOKEN && token.matches(value.as_bytes()));
    // What another site may have made up is not even shown: only a page that is known to be ours
    // gets back what was typed there.
    if !is_ours && sender == Sender::Unknown {
        let message = "The form is not of this session: the router may have been restarted since. \
            Nothing was changed. Open the form again, and then apply.";
        return Err(Refusal::new(Status::Forbidden, message));
    }
    change(module, &token, &body, is_ours)
}

/// Makes the form the settings, or shows it again with the reason why not.
fn change(module: &Module, token: &Token, body: &[u8], is_ours: bool) -> Result<Response, Refusal> {
    // Held until the file is written: of two that apply at a time, one sees what the other has
    // stored.
    let lock = settings::file::lock(&module.settings()).map_err(|error| {
        let message = format!("The configuration cannot be changed: {error}.");
        Refusal::new(Status::InternalServerError, message)
    })?;
    let stored = global::stored(module)?.values;
    let typed = form::submitted(&stored, body, &[TOKEN, BUTTON])?;
    let show = |problems: &[Problem], notice: Html| {
        let notice = Some((Outcome::Failure, notice));
        Form {
            stored: &stored,
            shown: &typed,
            problems,
            token,
            notice,
        }
        .page()
    };
    if !is_ours {
        let text = "The form was not of this session: the router may have been restarted since. \
            Nothing was changed. What was typed is still here: check it and apply again.";
        return Ok(
            Response::page(show(&[], global::message(text, &[]))).with_status(Status::Forbidden)
        );
    }

    let problems = judge(module, &typed);
    if !problems.is_empty() {
        // Status 200: some web servers put a page of their own in the place of an error's, and what
        // was typed would be lost.
        let text = "Invalid input. Nothing was changed.";
        return Ok(Response::page(show(
            &problems,
            global::message(text, &problems),
        )));
    }
    if let Err(error) = lock.write(&typed) {
        let problem = Problem::of_file(format!("The settings could not be stored: {error}."));
        let text = "Error during configuration update. Nothing was changed.";
        return Ok(Response::page(show(&[], global::message(text, &[problem]))));
    }
    drop(lock);
    if let Err(error) = reload(&module.init()) {
        let problem = Problem::of_file(format!(
            "{} cannot be started: {error}.",
            module.init().display()
        ));
        let text = "The configuration was stored, but the broker could not be told.";
        let notice = Some((Outcome::Failure, global::message(text, &[problem])));
        let form = Form {
            stored: &typed,
            shown: &typed,
            problems: &[],
            token,
            notice,
        };
        return Ok(Response::page(form.page()));
    }
    // The answer to the redirected GET may be loaded again without a second Apply.
    Ok(Response::see_other("index.cgi?applied=1"))
}

impl From<FormError> for Refusal {
    fn from(error: FormError) -> Refusal {
        Refusal::new(Status::BadRequest, format!("{error} Nothing was changed."))
    }
}

/// All that is wrong with the values; what the broker was not asked about is not stored.
fn judge(module: &Module, values: &Values) -> Vec<Problem> {
    let (verdict, unasked) = check::judge(&module.broker(), values);
    let unasked = unasked
        .map(|error| Problem::of_file(format!("The settings could not be checked: {error}.")));
    unasked.into_iter().chain(verdict.errors).collect()
}

/// Tells the broker, without waiting for it: starting and stopping may take longer than a browser
/// waits.
fn reload(init: &Path) -> io::Result<()> {
    let metadata = init.metadata()?;
    if !metadata.is_file() || metadata.mode() & 0o111 == 0 {
        return Err(io::Error::other("it is not executable"));
    }
    check::program(Path::new("/bin/sh"))
        .args(["-c", RELOAD])
        .arg(init)
        // Standard output is the answer to the browser, which ends when nobody holds it any more.
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // A web server that ends the group of this process must not end the broker with it.
        .process_group(0)
        .spawn()
        .map(drop)
}
