//! The router's own pages: the list of *Router Apps* and the boxes that say how a change went.

use crate::http::Response;
use crate::module::{Module, Report};

/// Looks as a router does; its style sheet is part of the page, as there.
const STYLE: &str = "\
body { background: #fff; color: #000; font: 12px Verdana, Arial, Helvetica, sans-serif; margin: 8px }
a { color: #03c; text-decoration: none } a:hover, a:focus { text-decoration: underline }
h1 { color: #000080; font-size: 24px; margin: 0 0 8px; text-shadow: 1px 1px 2px #aaa }
.columns { display: flex; flex-wrap: wrap; gap: 8px; align-items: flex-start }
.window { background: #f4f4f4; border: 3px outset #ddd }
nav.window { width: 200px } main.window { flex: 1 1 300px; min-width: 0 } .box { max-width: 640px; margin: 32px auto }
.window h2 { background: #000080; color: #fff; font-size: 12px; margin: 0; padding: 4px 8px }
.success h2 { background: #008000 } .failure h2 { background: #800000 }
.window > div { padding: 8px; overflow-x: auto }
table { border-collapse: collapse; width: 100% } th { background: #c8d8ff; text-align: left }
th, td { padding: 4px 8px; vertical-align: top } td form { margin: 0 }
hr { border: 0; border-top: 1px solid #aaa } pre { white-space: pre-wrap; overflow-wrap: anywhere } .note { color: #666 }
";

/// Nothing comes from elsewhere, and nobody frames these pages.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// The *Router Apps* page. `token` goes back with every change.
pub(crate) fn router_apps(modules: &[Module], token: &str) -> Response {
    let mut html = Html::new("Router Apps");
    html.raw("<h1>Router Simulator</h1>\n<div class=\"columns\">\n<nav class=\"window\"><h2>Customization</h2>");
    html.raw("<div><a href=\"/module.cgi\">Router Apps</a></div></nav>\n");
    html.raw("<main class=\"window\"><h2>Router Apps</h2><div>\n<table><tr><th>Name<th>Version<th></tr>\n");
    for module in modules {
        html.raw("<tr><td>");
        match module.entry_page {
            Some(page) => {
                html.raw("<a href=\"/module/")
                    .text(&module.name)
                    .raw("/")
                    .text(page)
                    .raw("\">");
                html.text(&module.title).raw("</a>");
            }
            None => {
                html.text(&module.title);
            }
        }
        if module.entry_page.is_some() && !module.login {
            html.raw(" <span class=\"note\">(its pages ask for no login: www/.htpasswd is missing)</span>");
        }
        html.raw("<td>").text(&module.version);
        html.raw("<td><form method=\"post\" action=\"/module.cgi\">")
            .token(token);
        html.raw("<input type=\"hidden\" name=\"delete\" value=\"")
            .text(&module.name);
        html.raw("\"><button aria-label=\"Delete ")
            .text(&module.title)
            .raw("\">Delete</button></form></tr>\n");
    }
    if modules.is_empty() {
        html.raw("<tr><td colspan=\"3\">No router app is installed.</tr>\n");
    }
    html.raw("</table><hr>\n<form method=\"post\" action=\"/module.cgi\" enctype=\"multipart/form-data\">").token(token);
    html.raw("<label for=\"file\">New App</label> <input type=\"file\" id=\"file\" name=\"file\" accept=\".tgz\" required>\n");
    html.raw("<button name=\"button\" value=\"Add or Update\">Add or Update</button></form>\n</div></main></div>");
    html.page(200)
}

/// How a change went that was made.
pub(crate) fn report(report: &Report) -> Response {
    let class = if report.clean {
        "window box success"
    } else {
        "window box failure"
    };
    let mut html = Html::new("Router Apps");
    html.raw("<main class=\"")
        .raw(class)
        .raw("\"><h2>Router Apps</h2><div><p>")
        .text(&report.done);
    if !report.clean {
        html.raw("<p>Not every script of the package succeeded.");
    }
    if !report.lines.is_empty() {
        html.raw("<pre>");
        for line in &report.lines {
            html.text(line).raw("\n");
        }
        html.raw("</pre>");
    }
    html.raw("<p><a href=\"/module.cgi\">Back</a></div></main>");
    html.page(200)
}

/// A change that was refused, or a page that there is not.
pub(crate) fn failure(status: u16, sentence: &str) -> Response {
    let mut html = Html::new("Router");
    html.raw("<main class=\"window box failure\"><h2>Router</h2><div><p>")
        .text(sentence);
    html.raw("<p><a href=\"/module.cgi\">Back</a></div></main>");
    html.page(status)
}

/// A page in the making. Text from outside goes in through `text`, which escapes it.
struct Html(String);

impl Html {
    fn new(title: &'static str) -> Html {
        let mut html = Html(String::new());
        html.raw("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>")
            .raw(title);
        html.raw("</title>\n<meta name=\"viewport\" content=\"width=device-width\"><style>\n")
            .raw(STYLE);
        html.raw("</style></head><body>\n");
        html
    }

    fn raw(&mut self, markup: &'static str) -> &mut Html {
        self.0.push_str(markup);
        self
    }

    fn text(&mut self, text: &str) -> &mut Html {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                c => self.0.push(c),
            }
        }
        self
    }

    fn token(&mut self, token: &str) -> &mut Html {
        self.raw("<input type=\"hidden\" name=\"token\" value=\"")
            .text(token)
            .raw("\">")
    }

    fn page(mut self, status: u16) -> Response {
        self.raw("</body></html>\n");
        Response::new(status, "text/html; charset=utf-8", self.0)
            .with("Cache-Control", "no-store")
            .with("Content-Security-Policy", POLICY)
            .with("Referrer-Policy", "same-origin")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_package_is_markup() {
        let module = Module {
            name: "app".to_owned(),
            title: "<script>\"'&".to_owned(),
            version: "<b>".to_owned(),
            entry_page: Some("index.cgi"),
            login: false,
        };
        let page = String::from_utf8(router_apps(&[module], "t").body).unwrap();
        assert!(
            page.contains("<a href=\"/module/app/index.cgi\">&lt;script&gt;&quot;&#39;&amp;</a>")
        );
        assert!(page.contains("ask for no login"));
        assert!(!page.contains("<script>") && !page.contains("<b>"));
    }
}
