//! The requests of a function of a script, with their checks and pauses.

use super::super::draft::{Out, Request};
use super::super::read::{Fields, Notes, text};
use super::super::values;
use super::script::{Range, Script};
use crate::source::{Node, Value};
use crate::units;

/// What a virtual user does in one iteration.
#[derive(Debug, Default)]
pub(super) struct Iteration {
    pub requests: Vec<Request>,
    /// The pause at the end, in seconds, and its line.
    pub pause: Option<(f64, u32)>,
}

/// The names under which a script knows k6's functions.
pub(super) struct Names<'s> {
    pub http: Option<&'s str>,
}

/// Reads the body of a function.
pub(super) struct Body<'a, 's> {
    pub script: &'a mut Script<'s>,
    pub names: &'a Names<'s>,
    pub notes: &'a mut Notes,
    /// The names of answers, and the indexes of their requests. None for one that is not carried over.
    answers: Vec<(&'s str, Option<usize>)>,
    made: Iteration,
    /// The server of the first request.
    server: Option<String>,
}

/// The server of a URL, and the rest.
pub(super) fn split(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    (matches!(scheme, "http" | "https") && end > 0).then(|| url.split_at(scheme.len() + 3 + end))
}

impl<'a, 's> Body<'a, 's> {
    /// The iteration of the function whose body is `range`.
    pub fn read(script: &'a mut Script<'s>, names: &'a Names<'s>, notes: &'a mut Notes, range: Range) -> Iteration {
        let mut body = Self { script, names, notes, answers: Vec::new(), made: Iteration::default(), server: None };
        body.walk(range);
        body.made
    }

    fn walk(&mut self, range: Range) {
        for statement in self.script.statements(range) {
            self.statement(&statement);
        }
    }

    fn statement(&mut self, statement: &Range) {
        let mut at = statement.start;
        let is_declared = matches!(self.script.word(at), Some("const" | "let" | "var"));
        at += usize::from(is_declared);
        let mut name = None;
        if self.script.word(at).is_some() && self.script.is(at + 1, "=") {
            name = self.script.word(at);
            at += 2;
        }
        let rest = at..statement.end;
        if let Some(index) = self.request(&rest) {
            self.answers.extend(name.map(|name| (name, index)));
            return;
        }
        if let (true, Some(name)) = (is_declared, name)
            && let Some(node) = self.script.whole_literal(&rest)
        {
            self.script.constants.insert(name, node);
            return;
        }
        match self.call(&rest) {
            Some(("check", arguments)) if name.is_none() => self.check(&arguments, statement),
            Some(("sleep", arguments)) if name.is_none() => self.sleep(&arguments, statement),
            Some(("group", arguments)) if name.is_none() && arguments.len() == 2 => {
                let line = self.script.line(statement.start);
                let title = self.script.shown(&arguments[0]);
                self.notes.line(line, format!("the group {title} is not carried over; its requests are"));
                let inner = arguments[1].clone();
                let open = inner.clone().find(|at| self.script.is(*at, "{"));
                if let Some(open) = open {
                    let (body, _) = self.script.inside(open);
                    self.walk(body);
                }
            }
            _ => {
                let text = self.script.shown(statement);
                let line = self.script.line(statement.start);
                self.notes.line(line, format!("`{text}` is not carried over"));
            }
        }
    }

    /// The name and the arguments of a call of a function, if the range is nothing else.
    fn call(&self, range: &Range) -> Option<(&'s str, Vec<Range>)> {
        let name = self.script.word(range.start)?;
        self.script.is(range.start + 1, "(").then_some(())?;
        let (inner, end) = self.script.inside(range.start + 1);
        (end == range.end).then(|| (name, self.script.parts(inner)))
    }

    /// Adds the request of a call such as `http.get(…)`, and returns its index, or None within if it is not carried over. None
    /// for anything else.
    fn request(&mut self, range: &Range) -> Option<Option<usize>> {
        let at = range.start;
        if self.script.word(at)? != self.names.http? || !self.script.is(at + 1, ".") || !self.script.is(at + 3, "(") {
            return None;
        }
        let (inner, end) = self.script.inside(at + 3);
        if end != range.end {
            return None;
        }
        let mut arguments = self.script.parts(inner);
        let method = match self.script.word(at + 2)? {
            "get" => None,
            "head" => Some("HEAD".to_owned()),
            "post" => Some("POST".to_owned()),
            "put" => Some("PUT".to_owned()),
            "patch" => Some("PATCH".to_owned()),
            "options" => Some("OPTIONS".to_owned()),
            "del" => Some("DELETE".to_owned()),
            "request" if !arguments.is_empty() => {
                let method = self.script.whole_literal(&arguments.remove(0)).as_ref().and_then(text)?;
                Some(method.to_uppercase()).filter(|it| it != "GET")
            }
            _ => return None,
        };
        let has_body = !matches!(self.script.word(at + 2), Some("get" | "head"));
        let line = self.script.line(at);
        let url = arguments.first().and_then(|it| self.script.whole_literal(it)).as_ref().and_then(text);
        let Some(url) = url.filter(|url| split(url).is_some()) else {
            let shown = self.script.shown(range);
            self.notes.line(line, format!("the URL of `{shown}` is not known here: the request is not carried over"));
            return Some(None);
        };
        let (server, rest) = split(&url).map(|(server, rest)| (server.to_owned(), rest.to_owned()))?;
        if self.server.get_or_insert_with(|| server.clone()) != &server {
            let message = "a load sends to one server: this request goes to another one, and is not carried over";
            self.notes.line(line, message);
            return Some(None);
        }
        let mut request = Request {
            name: format!("{}-{}", method.as_deref().unwrap_or("GET"), rest.split('?').next().unwrap_or_default()),
            url,
            method,
            headers: Vec::new(),
            body: None,
            check: Vec::new(),
            timeout: None,
        };
        let body = if has_body { arguments.get(1).cloned() } else { None };
        if let Some(body) = body {
            match self.literal(&body).map(|node| node.value) {
                Some(Value::Map(_)) => {
                    self.notes.line(self.script.line(body.start), "a form as a body is not carried over");
                }
                Some(value) => request.body = text(&Node { value, span: Default::default() }),
                None => {}
            }
        }
        if let Some(parameters) = arguments.get(if has_body { 2 } else { 1 }).and_then(|it| self.literal(it)) {
            self.parameters(&parameters, &mut request);
        }
        if let (false, Some((_, line))) = (self.made.requests.is_empty(), self.made.pause) {
            self.notes.line(line, "a load makes no pause between the requests of an iteration: it is not carried over");
            self.made.pause = None;
        }
        self.made.requests.push(request);
        Some(Some(self.made.requests.len() - 1))
    }

    /// A literal, with a note for each part of it that is not understood.
    fn literal(&mut self, range: &Range) -> Option<Node> {
        let mut strange = Vec::new();
        let node = self.script.literal(range, &mut strange);
        strange.into_iter().for_each(|(line, message)| self.notes.line(line, message));
        (node.value != Value::Null).then_some(node)
    }

    /// The third argument of a request.
    fn parameters(&mut self, node: &Node, request: &mut Request) {
        let Some(fields) = Fields::of(node, "params.") else { return };
        request.headers = fields.pairs("headers");
        // What is not understood has a note.
        request.headers.retain(|(_, value)| !value.is_empty());
        if let Some(timeout) = fields.node("timeout") {
            request.timeout = match &timeout.value {
                Value::Int(millis) => Some(format!("{millis}ms")),
                _ => text(timeout).filter(|it| values::duration(it).is_some()),
            };
        }
        fields.finish(self.notes);
    }

    /// The conditions on an answer.
    fn check(&mut self, arguments: &[Range], statement: &Range) {
        let line = self.script.line(statement.start);
        let [answer, conditions, ..] = arguments else { return };
        let index = match self.request(answer) {
            Some(index) => index,
            None => {
                let name = self.script.word(answer.start).filter(|_| answer.len() == 1);
                self.answers.iter().rfind(|(known, _)| Some(*known) == name).and_then(|(_, index)| *index)
            }
        };
        let Some(index) = index else {
            let shown = self.script.shown(answer);
            return self.notes.line(line, format!("the check of `{shown}` is not carried over: its request is not"));
        };
        if !self.script.is(conditions.start, "{") {
            let shown = self.script.shown(conditions);
            return self.notes.line(line, format!("the conditions `{shown}` are not carried over"));
        }
        let (inner, _) = self.script.inside(conditions.start);
        for condition in self.script.parts(inner) {
            match self.condition(&condition) {
                Some((key, value)) if self.made.requests[index].check.iter().all(|(known, _)| *known != key) => {
                    self.made.requests[index].check.push((key.to_owned(), value));
                }
                _ => {
                    let (line, shown) = (self.script.line(condition.start), self.script.shown(&condition));
                    self.notes.line(line, format!("the check `{shown}` is not carried over"));
                }
            }
        }
    }

    /// `'name': (r) => r.status === 200`, or that the body includes a text.
    fn condition(&self, range: &Range) -> Option<(&'static str, Out)> {
        let arrow = range.clone().find(|at| self.script.is(*at, "=>"))?;
        // The name of the answer is before the arrow, in parentheses or not.
        let before = if self.script.is(arrow - 1, ")") { arrow - 2 } else { arrow - 1 };
        let answer = self.script.word(before)?;
        let texts: Vec<&str> = self.script.tokens.get(arrow + 1..range.end)?.iter().map(|token| token.text).collect();
        if let [it, ".", "body", ".", "includes", "(", _, ")"] = texts[..]
            && it == answer
        {
            let part = arrow + 7..arrow + 8;
            let contained = self.script.whole_literal(&part)?;
            return Some(("contains", Out::Text(text(&contained)?)));
        }
        let statuses = texts.split(|word| *word == "||").map(|alternative| match alternative {
            [it, ".", "status", "===" | "==", status] if *it == answer => {
                status.parse::<u16>().ok().filter(|it| (100..600).contains(it)).map(|it| Out::plain(it.to_string()))
            }
            _ => None,
        });
        Some(("status", Out::List(statuses.collect::<Option<_>>()?)))
    }

    /// A pause. Between two requests there is none here.
    fn sleep(&mut self, arguments: &[Range], statement: &Range) {
        let line = self.script.line(statement.start);
        let node = arguments.first().and_then(|it| self.script.whole_literal(it));
        let seconds = node.as_ref().and_then(text).and_then(|it| it.parse::<f64>().ok()).filter(|it| *it > 0.0);
        match seconds {
            Some(seconds) => {
                let before = self.made.pause.map_or(0.0, |(before, _)| before);
                self.made.pause = Some((before + seconds, line));
            }
            None => {
                let shown = self.script.shown(statement);
                self.notes.line(line, format!("the pause `{shown}` is no number, and is not carried over"));
            }
        }
    }
}

impl Iteration {
    /// The longest timeout of its requests.
    pub fn timeout(&self) -> Option<units::Duration> {
        let all = self.requests.iter().filter_map(|it| it.timeout.as_ref()?.parse::<units::Duration>().ok());
        all.max()
    }
}
