//! A node that is served over HTTP, and a client that holds every answer against the document of the API.
#![allow(dead_code, reason = "each test uses a part")]

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use stktable_integration::config::{self, Context};
use stktable_integration::http::{Access, HttpServer, Settings, openapi};
use stktable_integration::{Clock, Node, SharedTable};
use tokio::runtime::Runtime;
use ureq::http::{Request, Response};
use ureq::{Agent, Body};

/// Beyond this something hangs.
pub(crate) const SOON: Duration = Duration::from_secs(60);

pub(crate) struct Served {
    pub(crate) node: Node,
    pub(crate) clock: Clock,
    pub(crate) document: Value,
    /// Method and path, as they stand in the document, of what was answered well.
    pub(crate) asked: Mutex<BTreeSet<(String, String)>>,
    agent: Agent,
    base: String,
    #[expect(dead_code, reason = "for its end")]
    server: HttpServer,
    /// Last, so that the others end in it.
    #[expect(dead_code, reason = "for its end")]
    runtime: Runtime,
}

impl Served {
    /// Starts the peer `a` of a configuration.
    pub(crate) fn start(text: &str) -> Self {
        Self::with(text, Access::new())
    }

    pub(crate) fn with(text: &str, access: Access) -> Self {
        let runtime = Runtime::new().unwrap();
        let config = config::parse(&[("x.cfg", text.as_bytes())], &Context::EMPTY).unwrap();
        let clock = Clock::start();
        let (node, server) = runtime.block_on(async {
            let node = Node::start(&config, "a", clock).await.unwrap();
            let settings = Settings {
                tables: node.table_set(),
                peers: node.peers(),
                clock,
                tops: Vec::new(),
                access: Some(access),
            };
            let server = HttpServer::start("127.0.0.1:0".parse().unwrap(), settings);
            let server = server.await.unwrap();
            (node, server)
        });
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(SOON))
            .build()
            .into();
        Self {
            node,
            clock,
            document: serde_json::from_str(&openapi()).unwrap(),
            asked: Mutex::default(),
            agent,
            base: format!("http://{}", server.local_addr()),
            server,
            runtime,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub(crate) fn table(&self, name: &str) -> &Arc<SharedTable> {
        self.node.table(name).unwrap()
    }

    pub(crate) fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Response<Body> {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        let sent = match body {
            None => self.agent.run(request.body(()).unwrap()),
            Some(body) => {
                let request = request.header("content-type", "application/json");
                self.agent.run(request.body(body.to_string()).unwrap())
            }
        };
        sent.unwrap()
    }

    /// Sends a request, and returns its status and what came back, which is as the document says.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let (template, operation) = self.operation(method, path);
        if let Some(body) = &body {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            assert!(!schema.is_null(), "{method} {template} has no body");
            let fits = self.validator(schema).is_valid(body);
            let answered = self.send(method, path, Some(body));
            // What does not fit the document is refused, by whatever name.
            assert!(fits || answered.status().is_client_error(), "{method} {path} {body}");
            return self.judge(method, &template, &operation, answered);
        }
        let answered = self.send(method, path, None);
        self.judge(method, &template, &operation, answered)
    }

    /// The same, where all is well.
    pub(crate) fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask("GET", path, None);
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// What is said is wrong with a request.
    pub(crate) fn refused(&self, method: &str, path: &str, body: Option<Value>) -> (u16, String) {
        let (status, body) = self.ask(method, path, body);
        (status, body["detail"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned())
    }

    fn judge(
        &self,
        method: &str,
        template: &str,
        operation: &Value,
        answered: Response<Body>,
    ) -> (u16, Value) {
        let status = answered.status().as_u16();
        let ty = answered.headers().get("content-type").map(|ty| ty.to_str().unwrap().to_owned());
        let text = answered.into_body().read_to_string().unwrap();
        // What any path may answer is not told of each.
        if status == 413 || status == 415 {
            assert_eq!(ty.as_deref(), Some("application/problem+json"), "{text}");
            return (status, serde_json::from_str(&text).unwrap());
        }
        let said = &operation["responses"][status.to_string()];
        assert!(!said.is_null(), "{method} {template} answers {status}, which is not told: {text}");
        if status < 300 {
            self.asked.lock().unwrap().insert((method.to_owned(), template.to_owned()));
        }
        let Some(ty) = ty else {
            assert!(text.is_empty() && said["content"].is_null(), "{method} {template} {status}");
            return (status, Value::Null);
        };
        let schema = &said["content"][&ty]["schema"];
        assert!(!schema.is_null(), "{method} {template} {status}: {ty} is not told");
        let body: Value = serde_json::from_str(&text).unwrap();
        self.fits(schema, &body);
        (status, body)
    }

    pub(crate) fn fits(&self, schema: &Value, body: &Value) {
        let wrong: Vec<_> =
            self.validator(schema).iter_errors(body).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{wrong:?}: {body}");
    }

    fn validator(&self, schema: &Value) -> jsonschema::Validator {
        let mut whole = json!({ "components": self.document["components"] });
        let members = schema.as_object().unwrap().clone();
        whole.as_object_mut().unwrap().extend(members);
        jsonschema::draft202012::new(&whole).unwrap()
    }

    /// The operation that a path is of.
    fn operation(&self, method: &str, path: &str) -> (String, Value) {
        let path = path.split('?').next().unwrap();
        let paths = self.document["paths"].as_object().unwrap();
        let is_of = |template: &str| {
            let parts: Vec<_> = template.split('/').collect();
            let asked: Vec<_> = path.split('/').collect();
            let same = |(part, asked): (&&str, &&str)| part.starts_with('{') || part == asked;
            parts.len() == asked.len() && parts.iter().zip(&asked).all(same)
        };
        let template =
            paths.keys().find(|template| is_of(template)).unwrap_or_else(|| panic!("{path}"));
        let operation = paths[template][&method.to_lowercase()].clone();
        assert!(operation.is_object(), "{method} {template}");
        (template.clone(), operation)
    }

    /// Watches; gives each event's name and data.
    pub(crate) fn events<'s>(
        &'s self,
        path: &str,
    ) -> impl Iterator<Item = (String, Value)> + use<'s> {
        let (template, operation) = self.operation("GET", path);
        let answered = self.send("GET", path, None);
        assert_eq!(answered.status(), 200);
        assert_eq!(answered.headers()["content-type"], "text/event-stream");
        self.asked.lock().unwrap().insert(("GET".to_owned(), template));
        let schema =
            operation["responses"]["200"]["content"]["text/event-stream"]["schema"].clone();
        let mut lines = BufReader::new(answered.into_body().into_reader()).lines();
        std::iter::from_fn(move || {
            let mut name = String::new();
            loop {
                let line = lines.next()?.unwrap();
                if let Some(event) = line.strip_prefix("event: ") {
                    name = event.to_owned();
                } else if let Some(data) = line.strip_prefix("data: ") {
                    let data: Value = serde_json::from_str(data).unwrap();
                    self.fits(&schema, &data);
                    return Some((name, data));
                }
            }
        })
    }
}
