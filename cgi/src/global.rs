//! Configuration → Global: the form and what is said about it.

use settings::form::form_name;
use settings::{Problem, Values};

use crate::check::{self, Verdict};
use crate::form::Form;
use crate::html::{Attribute, Html};
use crate::layout::Outcome;
use crate::module::Module;
use crate::request::Environment;
use crate::response::{Refusal, Response, Status};
use crate::token::Token;

/// The query that says that an Apply has just succeeded.
pub(crate) const APPLIED: &str = "applied=1";

/// What the settings file holds.
pub(crate) struct Stored {
    pub(crate) values: Values,
    /// Why the file could not be read; `values` are the defaults then.
    pub(crate) problems: Vec<Problem>,
}

pub(crate) fn answer(module: &Module, environment: &Environment) -> Result<Response, Refusal> {
    let stored = stored(module)?;
    let token = token(module)?;
    // Without the broker's verdict there is nothing to warn of; what was applied has passed the check already.
    let (verdict, _) = check::judge(&module.broker(), &stored.values);
    let notice = if !stored.problems.is_empty() {
        let text = "The stored configuration cannot be read. The form shows the defaults; Apply replaces the stored file.";
        Some((Outcome::Failure, message(text, &stored.problems)))
    } else if !verdict.errors.is_empty() {
        let text = "The stored configuration is not valid.";
        Some((Outcome::Failure, message(text, &verdict.errors)))
    } else if environment.has_query(APPLIED) {
        Some((Outcome::Success, applied(&verdict)))
    } else {
        None
    };
    let form = Form {
        stored: &stored.values,
        shown: &stored.values,
        problems: &verdict.errors,
        token: &token,
        notice,
    };
    Ok(Response::page(form.page()))
}

/// Reads the settings file; one that is missing is the defaults.
pub(crate) fn stored(module: &Module) -> Result<Stored, Refusal> {
    let file = settings::file::read(&module.settings()).map_err(|error| {
        let message = format!("The stored configuration cannot be read: {error}.");
        Refusal::new(Status::InternalServerError, message)
    })?;
    Ok(match file.as_deref().map(Values::parse) {
        None => Stored {
            values: Values::defaults(),
            problems: Vec::new(),
        },
        Some(Ok(values)) => Stored {
            values,
            problems: Vec::new(),
        },
        Some(Err(problems)) => Stored {
            values: Values::defaults(),
            problems,
        },
    })
}

/// The token of this boot.
pub(crate) fn token(module: &Module) -> Result<Token, Refusal> {
    Token::obtain(&module.token()).map_err(|error| {
        let message = format!(
            "The form cannot be protected against forgery ({}): {error}.",
            module.token().display()
        );
        Refusal::new(Status::InternalServerError, message)
    })
}

/// A sentence, and the problems with a link to the field of each.
pub(crate) fn message(text: &'static str, problems: &[Problem]) -> Html {
    let mut html = Html::new();
    html.element("p", &[], text).raw("\n");
    problem_list(&mut html, problems);
    html
}

/// What is said after a successful Apply. That something is unwise does not hinder it, but it is
/// told.
fn applied(verdict: &Verdict) -> Html {
    let mut html = message("Configuration successfully updated.", &[]);
    if !verdict.warnings.is_empty() {
        html.raw("<p>Please note:</p>\n");
        problem_list(&mut html, &verdict.warnings);
    }
    html
}

fn problem_list(html: &mut Html, problems: &[Problem]) {
    if problems.is_empty() {
        return;
    }
    html.raw("<ul>\n");
    for problem in problems {
        let names_field = problem
            .label()
            .is_none_or(|label| problem.message.starts_with(label));
        let text = if names_field {
            problem.message.clone()
        } else {
            problem.to_string()
        };
        html.raw("<li>");
        match problem.key.and_then(settings::field) {
            Some(field) if field.in_form => {
                let target = format!("#{}", form_name(field.key));
                html.element("a", &[Attribute::Value("href", &target)], &text);
            }
            _ => {
                html.text(&text);
            }
        }
        html.raw("</li>\n");
    }
    html.raw("</ul>\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn get(scratch: &Scratch, query: &str) -> String {
        let variables = [("QUERY_STRING".to_owned(), query.into())];
        let answer = answer(
            &Module::below(&scratch.path("")),
            &variables.into_iter().collect(),
        );
        let mut out = Vec::new();
        answer
            .unwrap_or_else(Response::from)
            .write_to(&mut out, true)
            .expect("a Vec takes everything");
        String::from_utf8(out).expect("pages are UTF-8")
    }

    #[test]
    fn a_summary_links_to_the_fields_of_the_form_only() {
        let problems = [
            Problem::of_file("Line 3: <x>."),
            Problem::of("PORT", "Port must be a number."),
            Problem::of("MAX_QOS", "3 is too much."),
        ];
        assert_eq!(
            message("Invalid input.", &problems).as_str(),
            "<p>Invalid input.</p>\n<ul>\n<li>Line 3: &lt;x&gt;.</li>\n\
             <li><a href=\"#mqtt_port\">Port must be a number.</a></li>\n\
             <li>Maximum QoS: 3 is too much.</li>\n</ul>\n"
        );
    }

    #[test]
    fn a_first_visit_shows_the_defaults() {
        let scratch = Scratch::new();
        let html = get(&scratch, "");
        assert!(html.starts_with("Status: 200 OK"));
        assert!(html.contains("type=\"text\" value=\"1883\""));
        assert!(!html.contains("class=\"window result"));
        assert_eq!(scratch.settings(), "", "nothing is written by looking");
    }

    #[test]
    fn after_an_apply_a_green_box_tells() {
        let scratch = Scratch::new();
        scratch.verdict(
            r#"{"errors":[],"warnings":[{"key":"CERTIFICATE","message":"Broker Certificate has run out."}]}"#,
        );
        let html = get(&scratch, APPLIED);
        assert!(html.contains("class=\"window result success\""));
        assert!(html.contains("<p>Configuration successfully updated.</p>"));
        assert!(html.contains("<a href=\"#mqtt_certificate\">Broker Certificate has run out.</a>"));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_said() {
        let scratch = Scratch::new();
        scratch.store("MOD_MQTT_BROKER_PORT='8883'\nrubbish\n");
        let html = get(&scratch, APPLIED);
        assert!(html.contains("class=\"window result failure\""));
        assert!(html.contains("The form shows the defaults"));
        assert!(html.contains("<li>Line 2: "));
        assert!(!html.contains("successfully"));
    }

    #[test]
    fn values_that_are_not_valid_are_said() {
        let scratch = Scratch::new();
        scratch.store("MOD_MQTT_BROKER_PORT='70000'\n");
        let html = get(&scratch, "");
        assert!(html.contains("The stored configuration is not valid."));
        assert!(html.contains("type=\"text\" value=\"70000\""));
        assert!(html.contains("id=\"mqtt_port_error\""));
    }

    #[test]
    fn what_only_the_broker_can_judge_is_said() {
        let scratch = Scratch::new();
        scratch.verdict(
            r#"{"errors":[{"key":"PRIVATE_KEY","message":"Broker Private Key is damaged."}],"warnings":[]}"#,
        );
        let html = get(&scratch, "");
        assert!(html.contains("The stored configuration is not valid."));
        assert!(html.contains("id=\"mqtt_private_key_error\""));
        scratch.script("opt/mqtt_broker/bin/mqtt_broker", "exit 139");
        assert!(!get(&scratch, "").contains("class=\"window result"));
    }

    #[test]
    fn without_a_place_for_the_token_there_is_no_form() {
        let scratch = Scratch::new();
        std::fs::remove_dir(scratch.path("var/run")).expect("an empty directory");
        assert!(get(&scratch, "").starts_with("Status: 500 Internal Server Error"));
    }
}
