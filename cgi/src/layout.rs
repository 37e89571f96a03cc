//! What all pages have in common: heading, menu, windows and result boxes, in the router's own
//! style.

use crate::html::{Attribute, Html};
use crate::request::Page;

/// The name of the router app, as in `etc/name`.
const APP: &str = "MQTT Broker";

/// The left menu: sections and their entries. `Return` leads to the router's own pages.
const MENU: &[(&str, &[Entry])] = &[
    (
        "Status",
        &[
            Entry {
                label: "Overview",
                address: "status.cgi",
                page: Some(Page::Overview),
            },
            Entry {
                label: "System Log",
                address: "slog.cgi",
                page: Some(Page::SystemLog),
            },
        ],
    ),
    (
        "Configuration",
        &[Entry {
            label: "Global",
            address: "index.cgi",
            page: Some(Page::Global),
        }],
    ),
    (
        "Administration",
        &[Entry {
            label: "Return",
            address: "../../module.cgi",
            page: None,
        }],
    ),
];

struct Entry {
    label: &'static str,
    address: &'static str,
    page: Option<Page>,
}

/// The colour of a result box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Green.
    Success,
    /// Red.
    Failure,
}

/// A whole page: the frame around `content`, with the menu entry of `current` marked.
pub(crate) fn page(current: Option<Page>, name: &str, content: &Html) -> Html {
    let mut html = Html::new();
    html.raw("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    html.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    html.raw("<title>")
        .text(APP)
        .raw(" – ")
        .text(name)
        .raw("</title>\n");
    html.raw("<link rel=\"stylesheet\" href=\"style.css\">\n");
    html.raw("<script src=\"script.js\" defer></script>\n</head>\n<body>\n");
    html.raw("<a class=\"skip\" href=\"#content\">Skip to content</a>\n");
    html.raw("<header>")
        .element("h1", &[Attribute::Value("class", "logo")], APP)
        .raw("</header>\n");
    html.raw("<div class=\"columns\">\n");
    menu(&mut html, current);
    html.raw("<main id=\"content\">\n")
        .append(content)
        .raw("</main>\n</div>\n</body>\n</html>\n");
    html
}

/// A window: a title bar and what is below it.
pub(crate) fn window(html: &mut Html, title: &str, content: &Html) {
    html.raw("<section class=\"window\">\n");
    html.element("h2", &[Attribute::Value("class", "title")], title);
    html.raw("\n<div class=\"body\">\n")
        .append(content)
        .raw("</div>\n</section>\n");
}

/// A box that tells how something went.
pub(crate) fn result_box(html: &mut Html, outcome: Outcome, content: &Html) {
    let (class, role) = match outcome {
        Outcome::Success => ("window result success", "status"),
        Outcome::Failure => ("window result failure", "alert"),
    };
    html.open(
        "section",
        &[
            Attribute::Value("class", class),
            Attribute::Value("role", role),
        ],
    );
    html.raw("\n<h2 class=\"title\">Configuration</h2>\n<div class=\"body\">\n")
        .append(content);
    html.raw("</div>\n</section>\n");
}

/// A row of a report: a heading over the rows that follow.
pub(crate) fn report_heading(html: &mut Html, text: &str) {
    html.element("h3", &[Attribute::Value("class", "header")], text)
        .raw("\n");
}

/// The page that refuses a request, with the reason.
pub(crate) fn error_page(status: &str, message: &str) -> Html {
    let mut text = Html::new();
    text.element("p", &[], message).raw("\n");
    text.raw("<p class=\"back\"><a href=\"index.cgi\">Back</a></p>\n");
    let mut content = Html::new();
    result_box(&mut content, Outcome::Failure, &text);
    page(None, status, &content)
}

fn menu(html: &mut Html, current: Option<Page>) {
    html.raw("<nav class=\"window menu\" aria-label=\"Menu\">\n");
    for (section, entries) in MENU {
        html.raw("<div>\n")
            .element("h2", &[Attribute::Value("class", "title")], section)
            .raw("\n<ul>\n");
        for entry in *entries {
            html.raw("<li>");
            let mut attributes = vec![Attribute::Value("href", entry.address)];
            if entry.page.is_some() && entry.page == current {
                attributes.push(Attribute::Value("aria-current", "page"));
            }
            html.element("a", &attributes, entry.label).raw("</li>\n");
        }
        html.raw("</ul>\n</div>\n");
    }
    html.raw("</nav>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(html: &str) -> Html {
        let mut piece = Html::new();
        piece.text(html);
        piece
    }

    #[test]
    fn the_menu_is_that_of_the_router() {
        let page = page(Some(Page::Global), "Global", &Html::new());
        let menu: Vec<&str> = page
            .as_str()
            .lines()
            .filter(|line| {
                line.starts_with("<li>") || (line.starts_with("<h2") && line.contains("title"))
            })
            .collect();
        assert_eq!(
            menu,
            [
                "<h2 class=\"title\">Status</h2>",
                "<li><a href=\"status.cgi\">Overview</a></li>",
                "<li><a href=\"slog.cgi\">System Log</a></li>",
                "<h2 class=\"title\">Configuration</h2>",
                "<li><a href=\"index.cgi\" aria-current=\"page\">Global</a></li>",
                "<h2 class=\"title\">Administration</h2>",
                "<li><a href=\"../../module.cgi\">Return</a></li>",
            ]
        );
    }

    #[test]
    fn only_the_current_entry_is_marked() {
        for current in [Page::Global, Page::Overview, Page::SystemLog] {
            assert_eq!(
                page(Some(current), "x", &Html::new())
                    .as_str()
                    .matches("aria-current")
                    .count(),
                1
            );
        }
        assert!(
            !page(None, "x", &Html::new())
                .as_str()
                .contains("aria-current")
        );
    }

    #[test]
    fn nothing_on_the_page_offends_its_own_policy() {
        let page = page(Some(Page::Global), "Global", &Html::new());
        for forbidden in [
            "<style",
            " style=",
            " onclick",
            " onload",
            "javascript:",
            "http:",
            "https:",
            "data:",
        ] {
            assert!(!page.as_str().contains(forbidden), "{forbidden}");
        }
        assert_eq!(page.as_str().matches("<script").count(), 1);
        assert!(
            page.as_str()
                .contains("<script src=\"script.js\" defer></script>")
        );
    }

    #[test]
    fn a_window_has_a_title_bar() {
        let mut html = Html::new();
        window(&mut html, "MQTT Broker Configuration", &text("<form>"));
        assert_eq!(
            html.as_str(),
            "<section class=\"window\">\n<h2 class=\"title\">MQTT Broker Configuration</h2>\n\
             <div class=\"body\">\n&lt;form&gt;</div>\n</section>\n"
        );
    }

    #[test]
    fn boxes_speak_to_screen_readers() {
        let mut html = Html::new();
        result_box(&mut html, Outcome::Success, &text("done"));
        result_box(&mut html, Outcome::Failure, &text("not done"));
        assert!(
            html.as_str()
                .contains("class=\"window result success\" role=\"status\"")
        );
        assert!(
            html.as_str()
                .contains("class=\"window result failure\" role=\"alert\"")
        );
    }

    #[test]
    fn an_error_page_leads_back_to_the_form() {
        let page = error_page("413 Content Too Large", "Too <large>.");
        assert!(page.as_str().contains("<p>Too &lt;large&gt;.</p>"));
        assert!(page.as_str().contains("<a href=\"index.cgi\">Back</a>"));
        assert!(
            page.as_str()
                .contains("<title>MQTT Broker – 413 Content Too Large</title>")
        );
    }
}
