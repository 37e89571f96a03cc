//! The form, field by field.
//!
//! Which fields there are, in which order and how they are labelled is in the table of the crate
//! `settings`; here is only what a field of each kind looks like.
//!
//! A browser must not put the router's login into the broker's secrets. What stands against it:
//! - No secret is ever in the page, so there is nothing for a browser to recognise, and an empty
//!   field means "as stored".
//! - Secrets are `new-password`, and neither names nor identifiers suggest a login.
//! - `data-typed`: should the browser fill in such a field all the same, `script.js` takes the text
//!   out again and sends what the server put there, so that untouched is unchanged.
//!
//! Without JavaScript the server cannot tell a browser's text from a person's: the first two hold.

use settings::form::{clear_name, form_name, marker_name};
use settings::{Condition, Field, Kind, Problem, Values};

use crate::html::{Attribute, Html};
use crate::layout::{self, Outcome};
use crate::request::Page;
use crate::token::Token;

/// The fields that open a new group.
const GROUPS: [&str; 2] = ["TLS", "AUTHENTICATION"];

/// One showing of the form.
pub(crate) struct Form<'a> {
    pub(crate) stored: &'a Values,
    /// What stands in the fields: what is stored, or what was typed in an attempt that was refused.
    pub(crate) shown: &'a Values,
    pub(crate) problems: &'a [Problem],
    pub(crate) token: &'a Token,
    /// What is said above the form.
    pub(crate) notice: Option<(Outcome, Html)>,
}

impl Form<'_> {
    /// The whole page.
    pub(crate) fn page(&self) -> Html {
        let mut form = Html::new();
        form.raw("<form class=\"settings\" method=\"post\" action=\"set.cgi\" accept-charset=\"utf-8\" autocomplete=\"off\">\n");
        form.open(
            "input",
            &[
                Attribute::Value("type", "hidden"),
                Attribute::Value("name", "token"),
                Attribute::Value("value", self.token.as_str()),
            ],
        );
        form.raw("\n");
        for field in settings::FIELDS.iter().filter(|field| field.in_form) {
            if GROUPS.contains(&field.key) {
                form.raw("<hr>\n");
            }
            self.row(&mut form, field);
        }
        form.raw("<div class=\"buttons\"><button type=\"submit\" name=\"button\" value=\"Apply\">Apply</button></div>\n</form>\n");

        let mut windows = Html::new();
        if let Some((outcome, notice)) = &self.notice {
            layout::result_box(&mut windows, *outcome, notice);
        }
        layout::window(&mut windows, "MQTT Broker Configuration", &form);
        layout::page(Some(Page::Global), "Global", &windows)
    }

    /// A field with its label, its help and what is wrong with it.
    fn row(&self, html: &mut Html, field: &Field) {
        let name = form_name(field.key);
        let wrong = self
            .problems
            .iter()
            .any(|problem| problem.key == Some(field.key));
        let is_switch = matches!(field.kind, Kind::Switch);
        let conditions = conditions(field);
        let mut attributes = vec![Attribute::Value(
            "class",
            if is_switch { "row switch" } else { "row" },
        )];
        // A field that is wrong is shown whether it applies or not.
        if !conditions.is_empty() && !wrong {
            attributes.push(Attribute::Value("data-shown-when", &conditions));
        }
        html.open("div", &attributes).raw("\n");
        if is_switch {
            self.control(html, field, &name, wrong);
        }
        html.element("label", &[Attribute::Value("for", &name)], field.label);
        html.raw("\n<div class=\"control\">\n");
        if !is_switch {
            self.control(html, field, &name, wrong);
        }
        let help = format!("{name}_help");
        html.element(
            "p",
            &[
                Attribute::Value("class", "help"),
                Attribute::Value("id", &help),
            ],
            field.help,
        )
        .raw("\n");
        if wrong {
            let id = format!("{name}_error");
            html.open(
                "div",
                &[
                    Attribute::Value("class", "error"),
                    Attribute::Value("id", &id),
                ],
            )
            .raw("\n");
            for problem in self
                .problems
                .iter()
                .filter(|problem| problem.key == Some(field.key))
            {
                html.element("p", &[], &problem.message).raw("\n");
            }
            html.raw("</div>\n");
        }
        html.raw("</div>\n</div>\n");
    }

    fn control(&self, html: &mut Html, field: &Field, name: &str, wrong: bool) {
        let described_by = if wrong {
            format!("{name}_help {name}_error")
        } else {
            format!("{name}_help")
        };
        let first_wrong = self.problems.iter().find_map(|problem| problem.key);
        let mut common = vec![
            Attribute::Value("id", name),
            Attribute::Value("name", name),
            Attribute::Value("aria-describedby", &described_by),
            Attribute::Flag("autofocus", wrong && first_wrong == Some(field.key)),
        ];
        if wrong {
            common.push(Attribute::Value("aria-invalid", "true"));
        }
        let value = String::from_utf8_lossy(self.value(field));
        match field.kind {
            Kind::Switch => switch(html, field, common, value == "1"),
            Kind::Choice(choices) => {
                html.open("select", &common).raw("\n");
                for choice in choices {
                    option(html, choice.value, choice.label, choice.value == value);
                }
                // What is none of the choices is shown, lest it be replaced unseen.
                if choices.iter().all(|choice| choice.value != value) {
                    option(html, &value, &value, true);
                }
                html.raw("</select>\n");
            }
            Kind::Pem { .. } => self.text_area(html, field, common, &value),
            _ => self.line(html, field, common, &value),
        }
        if field.secret && !self.stored.get(field.key).is_empty() {
            self.clear_box(html, field);
        }
    }

    /// What stands in the field: of a secret only what was typed in a refused attempt, in that one
    /// answer.
    fn value(&self, field: &Field) -> &[u8] {
        let shown = self.shown.get(field.key);
        if field.secret && shown == self.stored.get(field.key) {
            &[]
        } else {
            shown
        }
    }

    fn line<'a>(
        &self,
        html: &mut Html,
        field: &Field,
        mut attributes: Vec<Attribute<'a>>,
        value: &'a str,
    ) {
        let secret = field.secret;
        attributes.extend([
            Attribute::Value("type", if secret { "password" } else { "text" }),
            Attribute::Value("value", value),
            Attribute::Value("autocomplete", if secret { "new-password" } else { "off" }),
            Attribute::Value("autocapitalize", "none"),
            Attribute::Value("spellcheck", "false"),
        ]);
        if matches!(field.kind, Kind::Number { .. }) {
            // Not type=number: a browser would drop what is not a number, and nobody could say why
            // it is refused.
            attributes.push(Attribute::Value("inputmode", "numeric"));
        } else {
            attributes.extend(AGAINST_PASSWORD_MANAGERS);
        }
        self.placeholder(field, &mut attributes);
        html.open("input", &attributes).raw("\n");
        if secret {
            let id = form_name(field.key);
            html.open(
                "button",
                &[
                    Attribute::Value("type", "button"),
                    Attribute::Value("class", "reveal"),
                    Attribute::Value("data-reveals", &id),
                    Attribute::Value("aria-controls", &id),
                    Attribute::Value("aria-pressed", "false"),
                    Attribute::Flag("hidden", true),
                ],
            );
            html.raw("Show<span class=\"unseen\"> ")
                .text(field.label)
                .raw("</span>")
                .close("button")
                .raw("\n");
        }
    }

    fn text_area(
        &self,
        html: &mut Html,
        field: &Field,
        mut attributes: Vec<Attribute<'_>>,
        value: &str,
    ) {
        attributes.extend([
            Attribute::Value("rows", "5"),
            Attribute::Value("autocomplete", "off"),
            Attribute::Value("autocapitalize", "none"),
            Attribute::Value("spellcheck", "false"),
        ]);
        self.placeholder(field, &mut attributes);
        // A parser drops the first line end of a text area, so one is put there to be dropped.
        html.open("textarea", &attributes)
            .raw("\n")
            .text(value)
            .close("textarea")
            .raw("\n");
    }

    fn placeholder(&self, field: &Field, attributes: &mut Vec<Attribute<'_>>) {
        if field.secret && !self.stored.get(field.key).is_empty() {
            attributes.push(Attribute::Value(
                "placeholder",
                "stored - leave empty to keep",
            ));
        }
    }

    /// The check box that empties a secret, since an empty field leaves it as it is.
    fn clear_box(&self, html: &mut Html, field: &Field) {
        let name = clear_name(field.key);
        html.raw("<div class=\"clear\">");
        html.open(
            "input",
            &[
                Attribute::Value("type", "checkbox"),
                Attribute::Value("id", &name),
                Attribute::Value("name", &name),
                Attribute::Flag("checked", self.shown.get(field.key).is_empty()),
            ],
        );
        html.open("label", &[Attribute::Value("for", &name)])
            .raw("Remove the stored value<span class=\"unseen\"> of ");
        html.text(field.label).raw("</span></label></div>\n");
    }
}

/// Marks for `script.js` and for the password managers that are no part of a browser.
const AGAINST_PASSWORD_MANAGERS: [Attribute<'static>; 5] = [
    Attribute::Flag("data-typed", true),
    Attribute::Flag("data-1p-ignore", true),
    Attribute::Flag("data-bwignore", true),
    Attribute::Value("data-lpignore", "true"),
    Attribute::Value("data-form-type", "other"),
];

fn switch(html: &mut Html, field: &Field, mut attributes: Vec<Attribute<'_>>, ticked: bool) {
    // A browser sends nothing for a box without a tick; its companion says that it was there.
    html.open(
        "input",
        &[
            Attribute::Value("type", "hidden"),
            Attribute::Value("name", &marker_name(field.key)),
            Attribute::Value("value", "1"),
        ],
    );
    attributes.extend([
        Attribute::Value("type", "checkbox"),
        Attribute::Flag("checked", ticked),
    ]);
    html.open("input", &attributes).raw("\n");
}

fn option(html: &mut Html, value: &str, label: &str, selected: bool) {
    html.element(
        "option",
        &[
            Attribute::Value("value", value),
            Attribute::Flag("selected", selected),
        ],
        label,
    )
    .raw("\n");
}

/// When the field applies, in a form for `script.js`: `name=value,value` and more of it after a
/// space.
fn conditions(field: &Field) -> String {
    let each = |condition: &Condition| {
        format!(
            "{}={}",
            form_name(condition.key),
            condition.values.join(",")
        )
    };
    field
        .shown_when
        .iter()
        .map(each)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    /// The form for what is stored, and what was typed since.
    fn form(stored: &[(&str, &str)], typed: &[(&str, &str)], problems: &[Problem]) -> String {
        let scratch = Scratch::new();
        let token = Token::obtain(&scratch.path("var/run/token")).expect("a token");
        let mut stored_values = Values::defaults();
        for (key, value) in stored {
            stored_values.set(key, value.as_bytes().to_vec());
        }
        let mut shown = stored_values.clone();
        for (key, value) in typed {
            shown.set(key, value.as_bytes().to_vec());
        }
        let form = Form {
            stored: &stored_values,
            shown: &shown,
            problems,
            token: &token,
            notice: None,
        };
        form.page().as_str().to_owned()
    }

    /// The start tag of the control with this identifier.
    fn tag<'a>(html: &'a str, id: &str) -> &'a str {
        let at = html.find(&format!(" id=\"{id}\"")).expect(id);
        let start = html[..at].rfind('<').expect("a start tag");
        let end = html[at..].find('>').expect("its end") + at;
        &html[start..=end]
    }

    #[test]
    fn fields_and_order_are_the_manuals() {
        let html = form(&[], &[], &[]);
        let labels: Vec<&str> = html
            .match_indices("<label for=")
            .filter_map(|(at, _)| html[at..].split(['>', '<']).nth(2))
            .collect();
        assert_eq!(
            labels,
            [
                "Enable MQTT Broker",
                "Port",
                "Log Level",
                "TLS Support",
                "PSK Identity",
                "Pre-shared Key",
                "CA Certificate(s)",
                "Broker Certificate",
                "Broker Private Key",
                "Authentication",
                "Username",
                "Password",
            ]
        );
        assert!(html.contains("<h2 class=\"title\">MQTT Broker Configuration</h2>"));
        assert!(
            html.contains("<button type=\"submit\" name=\"button\" value=\"Apply\">Apply</button>")
        );
    }

    #[test]
    fn every_label_has_its_control_and_every_control_its_label() {
        let html = form(&[("PASSWORD", "x"), ("PRIVATE_KEY", "x")], &[], &[]);
        let named: Vec<&str> = html
            .match_indices("<label for=\"")
            .filter_map(|(at, start)| html[at + start.len()..].split('"').next())
            .collect();
        for id in &named {
            assert_eq!(html.matches(&format!(" id=\"{id}\"")).count(), 1, "{id}");
        }
        let controls = [
            "<select",
            "<textarea",
            "type=\"text\"",
            "type=\"password\"",
            "type=\"checkbox\"",
        ];
        let count: usize = controls.iter().map(|part| html.matches(part).count()).sum();
        assert_eq!(count, named.len());
    }

    #[test]
    fn golden_rows() {
        let html = form(&[("TLS", "psk"), ("PORT", "8883")], &[], &[]);
        for golden in [
            "<div class=\"row\">\n<label for=\"mqtt_port\">Port</label>\n<div class=\"control\">\n\
             <input id=\"mqtt_port\" name=\"mqtt_port\" aria-describedby=\"mqtt_port_help\" type=\"text\" value=\"8883\" \
             autocomplete=\"off\" autocapitalize=\"none\" spellcheck=\"false\" inputmode=\"numeric\">\n\
             <p class=\"help\" id=\"mqtt_port_help\">The TCP port where clients connect.</p>\n</div>\n</div>\n",
            "<option value=\"none\">None</option>\n<option value=\"psk\" selected>PSK based</option>\n\
             <option value=\"certificate\">Certificate based</option>\n</select>",
            "<option value=\"error\" selected>Error</option>\n<option value=\"warning\">Warning</option>\n\
             <option value=\"info\">Info</option>\n<option value=\"debug\">Debug</option>\n</select>",
            "<form class=\"settings\" method=\"post\" action=\"set.cgi\" accept-charset=\"utf-8\" autocomplete=\"off\">\n\
             <input type=\"hidden\" name=\"token\" value=\"",
        ] {
            assert!(html.contains(golden), "{golden}\nis missing in\n{html}");
        }
    }

    #[test]
    fn the_switch_and_its_companion() {
        let off = form(&[], &[], &[]);
        assert!(off.contains("<input type=\"hidden\" name=\"mqtt_enabled_shown\" value=\"1\">"));
        assert!(!tag(&off, "mqtt_enabled").contains("checked"));
        let on = form(&[("ENABLED", "1")], &[], &[]);
        assert!(tag(&on, "mqtt_enabled").contains("type=\"checkbox\" checked"));
    }

    #[test]
    fn rows_say_when_they_apply() {
        let html = form(&[], &[], &[]);
        for (id, conditions) in [
            ("mqtt_psk_key", "mqtt_tls=psk"),
            ("mqtt_ca_certificates", "mqtt_tls=certificate"),
            (
                "mqtt_client_name",
                "mqtt_authentication=password,certificate_cn",
            ),
            ("mqtt_client_secret", "mqtt_authentication=password"),
        ] {
            let row = format!(
                "<div class=\"row\" data-shown-when=\"{conditions}\">\n<label for=\"{id}\">"
            );
            assert!(html.contains(&row), "{row}");
        }
        assert!(
            !html.contains(" hidden>\n<label"),
            "without a script everything is there"
        );
    }

    #[test]
    fn stored_secrets_are_never_in_the_page() {
        let html = form(
            &[
                ("PASSWORD", "hunter2"),
                ("PSK_KEY", "c0ffee"),
                ("PRIVATE_KEY", "-----BEGIN X-----\nabc"),
            ],
            &[],
            &[],
        );
        for secret in ["hunter2", "c0ffee", "BEGIN X"] {
            assert!(!html.contains(secret), "{secret}");
        }
        for name in ["mqtt_client_secret", "mqtt_psk_key", "mqtt_private_key"] {
            assert!(tag(&html, name).contains("placeholder=\"stored - leave empty to keep\""));
            assert!(!tag(&html, &format!("{name}_clear")).contains("checked"));
        }
        let html = form(&[], &[], &[]);
        assert!(!html.contains("_clear") && !html.contains("leave empty to keep"));
    }

    #[test]
    fn a_secret_typed_in_a_refused_attempt_stands() {
        let html = form(
            &[("PASSWORD", "hunter2"), ("PRIVATE_KEY", "old")],
            &[("PASSWORD", "n\"ew"), ("PRIVATE_KEY", "\nfirst\n<key>")],
            &[],
        );
        assert!(tag(&html, "mqtt_client_secret").contains(" value=\"n&quot;ew\""));
        assert!(html.contains(">\n\nfirst\n&lt;key&gt;</textarea>"));
        assert!(!html.contains("hunter2") && !html.contains(">old"));
    }

    #[test]
    fn a_wish_to_remove_stands_in_a_refused_attempt() {
        let html = form(&[("PASSWORD", "hunter2")], &[("PASSWORD", "")], &[]);
        assert!(tag(&html, "mqtt_client_secret_clear").contains(" checked"));
    }

    #[test]
    fn browsers_are_told_that_this_is_no_login() {
        let html = form(&[("USERNAME", "house")], &[], &[]);
        for id in ["mqtt_client_secret", "mqtt_psk_key"] {
            let tag = tag(&html, id);
            for part in [
                "type=\"password\"",
                "autocomplete=\"new-password\"",
                " data-typed ",
            ] {
                assert!(tag.contains(part), "{part} is missing in {tag}");
            }
        }
        let name = tag(&html, "mqtt_client_name");
        assert!(
            name.contains("value=\"house\" autocomplete=\"off\"") && name.contains(" data-typed ")
        );
        for word in [
            "name=\"username\"",
            "name=\"password\"",
            "id=\"username\"",
            "id=\"password\"",
        ] {
            assert!(!html.to_lowercase().contains(word));
        }
    }

    #[test]
    fn errors_stand_beside_their_fields() {
        let problems = [
            Problem::of("USERNAME", "Username is <missing>."),
            Problem::of("PASSWORD", "Password is missing."),
        ];
        let html = form(&[], &[], &problems);
        assert!(html.contains(
            "<div class=\"error\" id=\"mqtt_client_name_error\">\n<p>Username is &lt;missing&gt;.</p>\n</div>"
        ));
        let name = tag(&html, "mqtt_client_name");
        assert!(name.contains("aria-describedby=\"mqtt_client_name_help mqtt_client_name_error\""));
        assert!(
            name.contains(" autofocus aria-invalid=\"true\""),
            "the first that is wrong"
        );
        assert!(!tag(&html, "mqtt_client_secret").contains("autofocus"));
        assert!(
            html.contains("<div class=\"row\">\n<label for=\"mqtt_client_name\">"),
            "it is shown although no authentication is chosen"
        );
    }

    #[test]
    fn a_value_that_is_no_choice_is_shown() {
        let html = form(&[("TLS", "\"tls1.3")], &[], &[]);
        assert!(
            html.contains(
                "<option value=\"&quot;tls1.3\" selected>&quot;tls1.3</option>\n</select>"
            )
        );
    }

    #[test]
    fn hostile_values_stay_in_their_fields() {
        let hostile = "\"><script>alert(1)</script></textarea>'&\r\n";
        let html = form(
            &[
                ("USERNAME", hostile),
                ("PORT", hostile),
                ("CERTIFICATE", hostile),
                ("LOG_LEVEL", hostile),
            ],
            &[],
            &[Problem::of("PORT", hostile)],
        );
        assert_eq!(html.matches("<script").count(), 1, "our own");
        assert_eq!(html.matches("</textarea>").count(), 3);
        assert!(tag(&html, "mqtt_client_name").contains(
            "value=\"&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&lt;/textarea&gt;&#39;&amp;&#13;\n\""
        ));
    }

    #[test]
    fn text_that_is_not_utf8_is_no_panic() {
        let scratch = Scratch::new();
        let token = Token::obtain(&scratch.path("var/run/token")).expect("a token");
        let mut values = Values::defaults();
        for field in settings::FIELDS {
            values.set(field.key, b"\xFF\xFE<".to_vec());
        }
        let form = Form {
            stored: &Values::defaults(),
            shown: &values,
            problems: &[],
            token: &token,
            notice: None,
        };
        assert!(form.page().as_str().contains("\u{FFFD}\u{FFFD}&lt;"));
    }
}
