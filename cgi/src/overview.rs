//! Status → Overview: whether the broker runs, and how it fares.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use settings::{Kind, Problem, Values};

use crate::check;
use crate::html::{Attribute, Html};
use crate::layout;
use crate::module::Module;
use crate::observer::{self, Refused, Snapshot};
use crate::request::Page;
use crate::response::Response;

/// Everything the page tells, gathered before anything is written.
struct Facts {
    /// The process of the pid file, if it lives.
    pid: Option<u32>,
    /// The broker's own account, or why there is none.
    snapshot: Result<Snapshot, String>,
    /// What is stored, or that it cannot be read.
    settings: Result<Values, String>,
    /// Why a broker that is enabled and does not answer cannot use what is stored.
    problems: Vec<Problem>,
    /// Version of the installed package.
    version: Option<String>,
    /// Wall time, for "running since".
    now: SystemTime,
}

/// What the facts amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    NotListening,
    Unusable,
    Unresponsive,
    Disabled,
    Stopped,
}

pub(crate) fn answer(module: &Module) -> Response {
    let settings = match settings::file::read(&module.settings()) {
        Ok(Some(file)) => Values::parse(&file).map_err(|problems| {
            problems
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" ")
        }),
        Ok(None) => Ok(Values::defaults()),
        Err(error) => Err(error.to_string()),
    };
    let snapshot = observer::ask(&module.observer()).map_err(|error| error.to_string());
    let problems = match &settings {
        Ok(values) if snapshot.is_err() && values.get("ENABLED") == b"1" => {
            check::judge(&module.broker(), values).0.errors
        }
        _ => Vec::new(),
    };
    let facts = Facts {
        pid: observer::process(&module.pid_file()),
        snapshot,
        settings,
        problems,
        version: fs::read_to_string(module.version())
            .ok()
            .map(|text| text.trim().to_owned()),
        now: SystemTime::now(),
    };
    Response::page(page(&facts))
}

fn page(facts: &Facts) -> Html {
    let mut content = Html::new();
    let state = state(facts);
    layout::report_heading(&mut content, "Broker");
    broker(&mut content, facts, state);
    layout::report_heading(&mut content, "Connections");
    connections(&mut content, facts);
    if let Ok(snapshot) = &facts.snapshot {
        statistics(&mut content, snapshot);
        layout::report_heading(&mut content, "Last Refused Connections");
        refusals(&mut content, &snapshot.refusals);
        warnings(&mut content, &snapshot.warnings);
    }
    content.raw("<p class=\"links\"><a href=\"status.cgi\">Refresh</a></p>\n");

    let mut windows = Html::new();
    layout::window(&mut windows, "Overview", &content);
    layout::page(Some(Page::Overview), "Overview", &windows)
}

fn state(facts: &Facts) -> State {
    match (&facts.snapshot, facts.pid) {
        (Ok(snapshot), _) if snapshot.listening == Some(false) => State::NotListening,
        (Ok(_), _) => State::Running,
        (Err(_), _) if !facts.problems.is_empty() => State::Unusable,
        (Err(_), Some(_)) => State::Unresponsive,
        (Err(_), None) => match &facts.settings {
            Ok(values) if values.get("ENABLED") != b"1" => State::Disabled,
            _ => State::Stopped,
        },
    }
}

fn broker(html: &mut Html, facts: &Facts, state: State) {
    html.raw("<table class=\"report\">\n<tr><th scope=\"row\">State</th><td>");
    let snapshot = facts.snapshot.as_ref().ok();
    match state {
        State::Running => {
            html.raw("<strong class=\"good\">Running</strong>");
        }
        State::NotListening => {
            let reason = snapshot.and_then(|snapshot| snapshot.listen_error.as_deref());
            html.raw("<strong class=\"bad\">Running, but no client can connect</strong><br>");
            html.text(reason.unwrap_or("The broker is not listening yet."));
        }
        State::Unusable => {
            html.raw("<strong class=\"bad\">Stopped</strong><br>The broker is enabled, but what is stored cannot be used. ");
            html.raw("Mend it on the page <a href=\"index.cgi\">Global</a>:\n<ul>\n");
            for problem in &facts.problems {
                html.element("li", &[], &problem.to_string()).raw("\n");
            }
            html.raw("</ul>");
        }
        State::Unresponsive => {
            let reason = facts.snapshot.as_ref().err().map_or("", String::as_str);
            html.raw("<strong class=\"bad\">Running, but it does not answer</strong><br>It may be starting or very busy (");
            html.text(reason)
                .raw("). The <a href=\"slog.cgi\">System Log</a> may tell more.");
        }
        State::Disabled => {
            html.raw("<strong>Stopped</strong><br>The broker is disabled. ");
            html.raw("Tick <i>Enable MQTT Broker</i> on the page <a href=\"index.cgi\">Global</a> to start it.");
        }
        State::Stopped => {
            html.raw("<strong class=\"bad\">Stopped</strong><br>The broker is enabled, but it does not run. ");
            html.raw("The <a href=\"slog.cgi\">System Log</a> may tell why; ");
            html.raw("<i>Apply</i> on the page <a href=\"index.cgi\">Global</a> starts it again.");
        }
    }
    html.raw("</td></tr>\n");
    if let Err(reason) = &facts.settings {
        html.raw(
            "<tr><th scope=\"row\">Settings</th><td><strong class=\"bad\">Unreadable</strong><br>",
        );
        html.text(reason).raw("</td></tr>\n");
    }
    if let Some(uptime) = snapshot
        .and_then(|snapshot| snapshot.uptime)
        .map(Duration::from_secs)
    {
        let since = facts
            .now
            .checked_sub(uptime)
            .and_then(date)
            .unwrap_or_default();
        row(
            html,
            "Running Since",
            &format!("{since} ({})", span(uptime)),
        );
    }
    let version = snapshot
        .and_then(|snapshot| snapshot.version.as_deref())
        .or(facts.version.as_deref());
    row(html, "Version", version.unwrap_or("unknown"));
    if let Some(pid) = facts.pid {
        row(html, "Process", &pid.to_string());
    }
    html.raw("</table>\n");
}

/// What clients have to know; as configured while the broker itself says nothing.
fn connections(html: &mut Html, facts: &Facts) {
    let snapshot = facts.snapshot.as_ref().ok();
    let configured = |key| {
        let values = facts.settings.as_ref().ok()?;
        Some(String::from_utf8_lossy(values.get(key)).into_owned())
    };
    let port = snapshot
        .and_then(|snapshot| snapshot.port)
        .map(|port| port.to_string());
    let tls = snapshot.and_then(|snapshot| snapshot.tls.clone());
    let authentication = snapshot.and_then(|snapshot| snapshot.authentication.clone());
    html.raw("<table class=\"report\">\n");
    for (key, told) in [
        ("PORT", port),
        ("TLS", tls),
        ("AUTHENTICATION", authentication),
    ] {
        if let Some(value) = told.or_else(|| configured(key)) {
            let label = settings::field(key).map_or("", |field| field.label);
            row(html, label, choice_label(key, &value));
        }
    }
    if let Some(clients) = snapshot.and_then(|snapshot| snapshot.clients) {
        let text = match snapshot.and_then(|snapshot| snapshot.max_clients) {
            Some(most) if most > 0 => format!("{} (at most {})", grouped(clients), grouped(most)),
            _ => grouped(clients),
        };
        row(html, "Connected Clients", &text);
    }
    html.raw("</table>\n");
}

fn statistics(html: &mut Html, snapshot: &Snapshot) {
    let rows = [
        ("Sessions", snapshot.sessions),
        ("Subscriptions", snapshot.subscriptions),
        ("Retained Messages", snapshot.retained),
        ("Messages Received", snapshot.messages_received),
        ("Messages Sent", snapshot.messages_sent),
        ("Messages Dropped", snapshot.dropped),
        ("Bytes Received", snapshot.bytes_received),
        ("Bytes Sent", snapshot.bytes_sent),
    ];
    if rows.iter().all(|(_, number)| number.is_none()) {
        return;
    }
    layout::report_heading(html, "Statistics");
    html.raw("<table class=\"report\">\n");
    for (label, number) in rows {
        if let Some(number) = number {
            row(html, label, &grouped(number));
        }
    }
    html.raw("</table>\n");
}

fn refusals(html: &mut Html, refusals: &[Refused]) {
    if refusals.is_empty() {
        html.raw("<p>None.</p>\n");
        return;
    }
    html.raw(
        "<div class=\"scroll\"><table class=\"list\">\n<thead><tr><th scope=\"col\">Time</th>",
    );
    html.raw("<th scope=\"col\">Address</th><th scope=\"col\">Reason</th></tr></thead>\n<tbody>\n");
    for refused in refusals {
        let reason = match refused.count {
            0 | 1 => refused.reason.clone(),
            count => format!("{} ({} times)", refused.reason, grouped(count)),
        };
        html.raw("<tr>");
        html.element(
            "td",
            &[],
            &format!("{} ago", span(Duration::from_secs(refused.seconds_ago))),
        );
        html.element("td", &[], &refused.address)
            .element("td", &[], &reason)
            .raw("</tr>\n");
    }
    html.raw("</tbody>\n</table></div>\n");
}

fn warnings(html: &mut Html, warnings: &[String]) {
    if warnings.is_empty() {
        return;
    }
    layout::report_heading(html, "Warnings");
    html.raw("<ul class=\"warnings\">\n");
    for warning in warnings {
        html.element("li", &[], warning).raw("\n");
    }
    html.raw("</ul>\n");
}

fn row(html: &mut Html, label: &str, value: &str) {
    html.raw("<tr>")
        .element("th", &[Attribute::Value("scope", "row")], label);
    html.element("td", &[], value).raw("</tr>\n");
}

/// The form's word for a value, or the value.
fn choice_label<'a>(key: &str, value: &'a str) -> &'a str {
    match settings::field(key).map(|field| &field.kind) {
        Some(Kind::Choice(choices)) => choices
            .iter()
            .find(|choice| choice.value == value)
            .map_or(value, |choice| choice.label),
        _ => value,
    }
}

/// A number with its digits in groups of three, a narrow no-break space between them.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202F}');
        }
        text.push(digit);
    }
    text
}

/// `2 days, 3:04:05`, as the router itself writes spans of time.
fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let clock = format!(
        "{}:{:02}:{:02}",
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60
    );
    match seconds / 86400 {
        0 => clock,
        1 => format!("1 day, {clock}"),
        days => format!("{days} days, {clock}"),
    }
}

/// `2024-02-16 08:30:00 UTC`. Reading the router's time zone would take more code than this page.
fn date(time: SystemTime) -> Option<String> {
    let seconds = time.duration_since(UNIX_EPOCH).ok()?.as_secs();
    // Days since 1 March of the year 0, so that leap days end their years; 719468 of them before
    // 1970.
    let days = seconds / 86400 + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    Some(format!(
        "{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enabled(value: &str) -> Values {
        let mut values = Values::defaults();
        values.set("ENABLED", value.into());
        values
    }

    fn silent() -> Facts {
        Facts {
            pid: None,
            snapshot: Err("No such file or directory (os error 2)".into()),
            settings: Ok(enabled("1")),
            problems: Vec::new(),
            version: Some("1.0.0 (2024-02-16)".into()),
            now: UNIX_EPOCH + Duration::from_secs(1_708_072_200),
        }
    }

    fn running() -> Facts {
        let snapshot = Snapshot {
            version: Some("1.0.0".into()),
            uptime: Some(90_061),
            listening: Some(true),
            port: Some(8883),
            tls: Some("psk".into()),
            authentication: Some("password".into()),
            clients: Some(3),
            max_clients: Some(256),
            bytes_sent: Some(1_234_567),
            ..Snapshot::default()
        };
        Facts {
            pid: Some(1234),
            snapshot: Ok(snapshot),
            ..silent()
        }
    }

    fn html(facts: &Facts) -> String {
        page(facts).as_str().to_owned()
    }

    #[test]
    fn a_running_broker() {
        let html = html(&running());
        for part in [
            "<strong class=\"good\">Running</strong>",
            "<tr><th scope=\"row\">Running Since</th><td>2024-02-15 07:28:59 UTC (1 day, 1:01:01)</td></tr>",
            "<tr><th scope=\"row\">Version</th><td>1.0.0</td></tr>",
            "<tr><th scope=\"row\">Process</th><td>1234</td></tr>",
            "<tr><th scope=\"row\">Port</th><td>8883</td></tr>",
            "<tr><th scope=\"row\">TLS Support</th><td>PSK based</td></tr>",
            "<tr><th scope=\"row\">Connected Clients</th><td>3 (at most 256)</td></tr>",
            "<tr><th scope=\"row\">Bytes Sent</th><td>1\u{202F}234\u{202F}567</td></tr>",
        ] {
            assert!(html.contains(part), "{part} is missing in {html}");
        }
    }

    #[test]
    fn a_broker_without_its_port_says_why() {
        let mut facts = running();
        if let Ok(snapshot) = &mut facts.snapshot {
            snapshot.listening = Some(false);
            snapshot.listen_error =
                Some("port 1883 is in use by another program; trying again".into());
        }
        assert_eq!(state(&facts), State::NotListening);
        assert!(html(&facts).contains("port 1883 is in use by another program; trying again"));
    }

    #[test]
    fn a_disabled_broker_leads_to_the_form() {
        let facts = Facts {
            settings: Ok(enabled("0")),
            ..silent()
        };
        assert_eq!(state(&facts), State::Disabled);
        let html = html(&facts);
        assert!(html.contains("The broker is disabled."));
        assert!(html.contains("<a href=\"index.cgi\">Global</a>"));
    }

    #[test]
    fn an_enabled_broker_that_is_not_there_is_an_alarm() {
        assert_eq!(state(&silent()), State::Stopped);
        assert!(html(&silent()).contains("enabled, but it does not run"));
    }

    #[test]
    fn settings_that_cannot_be_used_are_the_reason() {
        for pid in [None, Some(1)] {
            let facts = Facts {
                pid,
                problems: vec![Problem::of(
                    "PRIVATE_KEY",
                    "Broker Private Key is <damaged>.",
                )],
                ..silent()
            };
            assert_eq!(state(&facts), State::Unusable);
            assert!(html(&facts).contains("<li>Broker Private Key is &lt;damaged&gt;.</li>"));
        }
    }

    #[test]
    fn a_silent_process_is_neither_running_nor_stopped() {
        let facts = Facts {
            pid: Some(1),
            ..silent()
        };
        assert_eq!(state(&facts), State::Unresponsive);
        assert!(html(&facts).contains("does not answer"));
    }

    #[test]
    fn a_stopped_broker_shows_what_is_configured() {
        let html = html(&silent());
        assert!(html.contains("<tr><th scope=\"row\">Port</th><td>1883</td></tr>"));
        assert!(html.contains("<tr><th scope=\"row\">TLS Support</th><td>None</td></tr>"));
        assert!(
            html.contains("<tr><th scope=\"row\">Version</th><td>1.0.0 (2024-02-16)</td></tr>")
        );
        assert!(!html.contains("Connected Clients"));
        assert!(!html.contains("Statistics"));
    }

    #[test]
    fn unreadable_settings_are_said() {
        let facts = Facts {
            settings: Err("Line 3: <what>".into()),
            ..silent()
        };
        assert!(html(&facts).contains("Line 3: &lt;what&gt;"));
        assert_eq!(state(&facts), State::Stopped);
    }

    #[test]
    fn refusals_and_warnings_are_escaped() {
        let mut facts = running();
        if let Ok(snapshot) = &mut facts.snapshot {
            snapshot.refusals = vec![Refused {
                seconds_ago: 75,
                address: "192.168.1.7".into(),
                reason: "unknown client <b>".into(),
                count: 1200,
            }];
            snapshot.warnings = vec!["<i>".into()];
        }
        let html = html(&facts);
        assert!(html.contains(
            "<tr><td>0:01:15 ago</td><td>192.168.1.7</td><td>unknown client &lt;b&gt; (1\u{202F}200 times)</td></tr>"
        ));
        assert!(html.contains("<li>&lt;i&gt;</li>"));
    }

    #[test]
    fn an_account_that_says_nothing_makes_a_page_all_the_same() {
        let facts = Facts {
            snapshot: Ok(Snapshot::default()),
            version: None,
            ..silent()
        };
        let html = html(&facts);
        assert!(html.contains("Running"));
        assert!(html.contains("<td>unknown</td>"));
        assert!(html.contains("<p>None.</p>"));
    }

    #[test]
    fn absurd_numbers_are_no_panic() {
        let mut facts = running();
        if let Ok(snapshot) = &mut facts.snapshot {
            snapshot.uptime = Some(u64::MAX);
            snapshot.clients = Some(u64::MAX);
            snapshot.refusals = vec![Refused {
                seconds_ago: u64::MAX,
                count: u64::MAX,
                ..Refused::default()
            }];
        }
        assert!(html(&facts).contains("Running"));
    }

    #[test]
    fn spans() {
        for (seconds, text) in [
            (0, "0:00:00"),
            (59, "0:00:59"),
            (3600, "1:00:00"),
            (86_400, "1 day, 0:00:00"),
            (172_801, "2 days, 0:00:01"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn dates() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (951_868_800, "2000-03-01 00:00:00 UTC"),
            (1_708_041_600, "2024-02-16 00:00:00 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
            (4_133_980_799, "2100-12-31 23:59:59 UTC"),
        ] {
            assert_eq!(
                date(UNIX_EPOCH + Duration::from_secs(seconds)).as_deref(),
                Some(text)
            );
        }
        assert_eq!(date(UNIX_EPOCH - Duration::from_secs(1)), None);
    }

    #[test]
    fn digits_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1000), "1\u{202F}000");
        assert_eq!(
            grouped(u64::MAX),
            "18\u{202F}446\u{202F}744\u{202F}073\u{202F}709\u{202F}551\u{202F}615"
        );
    }
}
