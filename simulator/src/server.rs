//! Serves the router's pages: who may see what, and which part answers.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use smol::lock::Semaphore;
use smol::net::{TcpListener, TcpStream};
use smol::{LocalExecutor, Timer};
use subtle::ConstantTimeEq as _;

use crate::cgi::{self, Call};
use crate::http::{Exchange, Head, Method, Response};
use crate::login::{self, LoginError};
use crate::module::{ModuleError, Modules, Report};
use crate::syslog::SystemLog;
use crate::www::{self, Page};
use crate::{MAX_PACKAGE, multipart, pages, random};

/// Connections served at once; further ones wait.
const MAX_CONNECTIONS: usize = 128;

/// What a CGI program may be sent.
const MAX_FORM: u64 = 8 << 20;

/// What an upload holds besides the package.
const MAX_UPLOAD_FIELDS: u64 = 64 << 10;

pub(crate) struct Router {
    modules: Modules,
    log: Rc<SystemLog>,
    htpasswd: PathBuf,
    hide: Vec<&'static str>,
    /// Proves that a change was asked for on the page, not by another site in the same browser.
    token: String,
}

/// The two ends of a connection.
#[derive(Clone, Copy)]
struct Ends {
    server: SocketAddr,
    client: SocketAddr,
}

impl Router {
    pub(crate) fn new(
        modules: Modules,
        log: Rc<SystemLog>,
        htpasswd: PathBuf,
        hide: Vec<&'static str>,
    ) -> io::Result<Router> {
        let bits: [u8; 16] = random()?;
        let token = bits.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Router {
            modules,
            log,
            htpasswd,
            hide,
            token,
        })
    }

    pub(crate) fn modules(&self) -> &Modules {
        &self.modules
    }
}

/// Accepts connections for ever.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Rc<Router>,
    executor: Rc<LocalExecutor<'static>>,
) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let place = places.acquire_arc().await;
        match listener.accept().await {
            Ok((stream, client)) => {
                let router = router.clone();
                let connection = async move {
                    if let Ok(server) = stream.local_addr() {
                        router.converse(stream, Ends { server, client }).await;
                    }
                    drop(place);
                };
                executor.spawn(connection).detach();
            }
            Err(error) => {
                router
                    .log
                    .note(&format!("cannot accept a connection: {error}"));
                Timer::after(Duration::from_millis(200)).await;
            }
        }
    }
}

impl Router {
    async fn converse(&self, stream: TcpStream, ends: Ends) {
        let mut exchange = Exchange::new(stream);
        let (response, bodiless) = match exchange.head().await {
            Ok(Some(head)) => {
                let response = self.answer(&mut exchange, &head, ends).await;
                (
                    response.unwrap_or_else(|response| response),
                    head.method == Method::Head,
                )
            }
            Ok(None) => return,
            Err(refusal) => (pages::failure(refusal.status, refusal.sentence), false),
        };
        exchange.answer(response, bodiless).await;
    }

    /// The answer, good or bad: an error is only the shorter way out.
    async fn answer(
        &self,
        exchange: &mut Exchange<TcpStream>,
        head: &Head,
        ends: Ends,
    ) -> Result<Response, Response> {
        match head.path.as_str() {
            "/" => Ok(Response::redirect("/module.cgi")),
            "/module.cgi" => {
                self.login(&self.htpasswd, head).await?;
                if head.method == Method::Post {
                    return self.change(exchange, head).await;
                }
                Ok(pages::router_apps(&self.modules.list(), &self.token))
            }
            path => match www::split(path) {
                Some((module, rest)) => {
                    self.module_page(exchange, head, ends, &module, &rest).await
                }
                None => Err(absent()),
            },
        }
    }

    async fn module_page(
        &self,
        exchange: &mut Exchange<TcpStream>,
        head: &Head,
        ends: Ends,
        module: &str,
        rest: &[String],
    ) -> Result<Response, Response> {
        let directory = self.modules.directory(module);
        let user = match login_file(self.modules.root(), &directory) {
            Ok(Some(file)) => Some(self.login(&file, head).await?),
            Ok(None) => None,
            Err(error) => return Err(self.locked(&LoginError::Unreadable(error))),
        };
        let (program, script_name, path_info) = match www::find(&directory, module, rest) {
            Page::Cgi {
                program,
                script_name,
                path_info,
            } => (program, script_name, path_info),
            Page::File(_) if head.method == Method::Post => {
                return Err(pages::failure(405, "This page takes no form."));
            }
            Page::File(path) => {
                return smol::unblock(move || www::read(&path))
                    .await
                    .map_err(|error| {
                        pages::failure(500, &format!("The page cannot be read: {error}."))
                    });
            }
            Page::Elsewhere(path) => return Ok(Response::redirect(&path)),
            Page::NotExecutable => {
                return Err(pages::failure(
                    403,
                    "The package did not mark this page executable.",
                ));
            }
            Page::Absent => return Err(absent()),
        };
        let body = exchange
            .body(MAX_FORM)
            .await
            .map_err(|refusal| pages::failure(refusal.status, refusal.sentence))?;
        let call = Call {
            head,
            program: &program,
            script_name: &script_name,
            path_info: &path_info,
            user: user.as_deref(),
            server: ends.server,
            client: ends.client,
            hide: &self.hide,
        };
        let (response, remarks) = cgi::run(&call, &body, cgi::LIMITS).await;
        for line in remarks.errors.lines() {
            self.log.note(&format!("{script_name}: {line}"));
        }
        if let Some(status) = remarks.status.filter(|status| !status.success()) {
            self.log.note(&format!("{script_name}: {status}"));
        }
        response.map_err(|error| {
            self.log.note(&format!("{script_name}: {error}"));
            let status = if matches!(error, cgi::CgiError::TimedOut { .. }) {
                504
            } else {
                502
            };
            pages::failure(status, &format!("The page failed: {error}."))
        })
    }

    /// The name of the user, or the page that asks for it.
    async fn login(&self, file: &Path, head: &Head) -> Result<String, Response> {
        let file = file.to_owned();
        let authorization = head.field("authorization").map(<[u8]>::to_vec);
        // A hash takes its time on purpose.
        let checked = smol::unblock(move || login::check(&file, authorization.as_deref())).await;
        checked.map_err(|error| self.locked(&error))
    }

    fn locked(&self, error: &LoginError) -> Response {
        match error {
            LoginError::Refused => pages::failure(401, "The login of the router is needed.").with(
                "WWW-Authenticate",
                "Basic realm=\"Router\", charset=\"UTF-8\"",
            ),
            LoginError::Unreadable(_) => {
                self.log.note(&error.to_string());
                pages::failure(
                    403,
                    "Nobody can log in here: the file of the logins cannot be read.",
                )
            }
        }
    }

    /// "Add or Update" and "Delete".
    async fn change(
        &self,
        exchange: &mut Exchange<TcpStream>,
        head: &Head,
    ) -> Result<Response, Response> {
        let refused = |sentence: &str| pages::failure(400, sentence);
        let body = exchange
            .body(MAX_PACKAGE + MAX_UPLOAD_FIELDS)
            .await
            .map_err(|refusal| pages::failure(refusal.status, refusal.sentence))?;
        let content_type = head
            .field("content-type")
            .and_then(|kind| std::str::from_utf8(kind).ok())
            .unwrap_or_default();
        let changed = if multipart::is_multipart(content_type) {
            let parts = multipart::parse(content_type, &body)
                .map_err(|error| refused(&error.to_string()))?;
            let field = |name: &str| {
                parts
                    .iter()
                    .find(|part| part.name == name)
                    .map(|part| part.content)
            };
            self.check_token(field("token"))?;
            match field("file") {
                None | Some([]) => return Err(refused("No file was chosen.")),
                Some(package) if package.len() as u64 > MAX_PACKAGE => {
                    return Err(pages::failure(
                        413,
                        "The package is larger than the router takes.",
                    ));
                }
                Some(package) => self.modules.install(package.to_vec()).await,
            }
        } else {
            let fields: Vec<(String, String)> = serde_urlencoded::from_bytes(&body)
                .map_err(|_| refused("This is no form of this page."))?;
            let field = |name: &str| {
                fields
                    .iter()
                    .find(|(known, _)| known == name)
                    .map(|(_, value)| value)
            };
            self.check_token(field("token").map(String::as_bytes))?;
            let name = field("delete").ok_or_else(|| refused("The form asks for nothing."))?;
            self.modules.delete(name).await
        };
        changed
            .map(|report: Report| pages::report(&report))
            .map_err(|error| match error {
                ModuleError::Io { .. } => pages::failure(500, &error.to_string()),
                ModuleError::Refused(_) | ModuleError::Unknown => refused(&error.to_string()),
            })
    }

    fn check_token(&self, given: Option<&[u8]>) -> Result<(), Response> {
        if bool::from(given.unwrap_or_default().ct_eq(self.token.as_bytes())) {
            Ok(())
        } else {
            let sentence = "The page was out of date, or another site asked for this. Go back, reload and try again.";
            Err(pages::failure(403, sentence))
        }
    }
}

/// The htpasswd file that a module's pages are locked with, if they are.
fn login_file(root: &Path, directory: &Path) -> io::Result<Option<PathBuf>> {
    let file = directory.join("www/.htpasswd");
    match file.symlink_metadata() {
        Ok(meta) if meta.is_symlink() => {
            let target = file.read_link()?;
            // On a router the link leads where it says; here the router's root is elsewhere.
            Ok(Some(match target.strip_prefix("/") {
                Ok(below) => root.join(below),
                Err(_) => file,
            }))
        }
        Ok(_) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn absent() -> Response {
    pages::failure(404, "There is no such page.")
}
