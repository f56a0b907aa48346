//! The dialogue of `init`: plain questions, each with a default that Enter takes. A choice is typed as its number or its
//! text. A question whose answer a flag gave is not asked.

use shakedown_schemas::Explained;
use std::io::{BufRead, Write};

use clap::ValueEnum;

use super::answers::{Answers, Complete, Pods, selector};
use super::facts::Facts;
use super::guess;
use crate::cli::Failure;
use crate::cli::args::{Like, Strike};

/// The input and the output of a dialogue.
pub struct Dialogue<R, W> {
    input: R,
    output: W,
}

/// An answer that can be chosen, and a few words about it.
struct Choice {
    text: String,
    about: String,
}

impl<R: BufRead, W: Write> Dialogue<R, W> {
    /// A dialogue that reads and writes here.
    pub const fn new(input: R, output: W) -> Self {
        Self { input, output }
    }

    /// The namespace to read.
    ///
    /// # Errors
    /// If the input ends.
    pub fn namespace(&mut self, default: &str) -> Result<String, Failure> {
        self.ask("Which namespace?", &[], default)
    }

    /// Asks the questions that no flag answers.
    ///
    /// # Errors
    /// If the input ends.
    pub fn complete(&mut self, mut answers: Answers, facts: Option<&Facts>) -> Result<Complete, Failure> {
        let guessed = |answers: &Answers| guess::complete(answers.clone(), facts);
        if answers.from.is_none() {
            let default = word(guessed(&answers).from);
            answers.from = Some(self.pick("What kind of service is it?", default)?);
        }
        if answers.namespace.is_none() && facts.is_none() {
            answers.namespace = Some(self.ask("Which namespace?", &[], &guessed(&answers).namespace)?);
        }
        if answers.service.is_none() {
            let about = |service: &super::facts::Service| if service.public { "public" } else { "" }.to_owned();
            let services = facts.map_or(&[][..], |it| &it.services).iter();
            let choices: Vec<Choice> = services.map(|it| Choice { text: it.address(), about: about(it) }).collect();
            let default = guessed(&answers).service;
            answers.service = Some(self.ask("Which service receives the load? NAME:PORT", &choices, &default)?);
        }
        if answers.pods.is_none() {
            let workloads = facts.map_or(&[][..], |it| &it.workloads).iter();
            let choices: Vec<Choice> =
                workloads.map(|it| Choice { text: selector(it).text(), about: about(it) }).collect();
            let question =
                "Which pods may the fault hit? It hits one of them. Labels, KIND/NAME, or a prefix of their names";
            answers.pods = Some(Pods::parse(&self.ask(question, &choices, &guessed(&answers).pods.text())?));
        }
        if answers.fault.is_none() {
            let default = word(guessed(&answers).fault);
            answers.fault = Some(self.pick("Which fault?", default)?);
        }
        if answers.peer.is_none() && answers.fault != Some(Strike::PodKill) {
            let services = facts.map_or(&[][..], |it| &it.services).iter();
            let choices: Vec<Choice> =
                services.map(|it| Choice { text: it.name.clone(), about: String::new() }).collect();
            answers.peer = Some(self.ask("Which service should it lose?", &choices, &guessed(&answers).peer)?);
        }
        self.request(&mut answers, facts)?;
        Ok(guessed(&answers))
    }

    fn request(&mut self, answers: &mut Answers, facts: Option<&Facts>) -> Result<(), Failure> {
        let guessed = guess::complete(answers.clone(), facts);
        if guessed.from == Like::Llm {
            if answers.model.is_none() {
                answers.model = Some(self.ask("Which model does it serve?", &[], &guessed.model)?);
            }
            return Ok(());
        }
        if answers.path.is_none() {
            let needed = if guessed.fault == Strike::PodKill { guessed.pods.word() } else { guessed.peer.clone() };
            let question = format!("Which request needs {needed}? METHOD PATH");
            let method = answers.method.as_deref().unwrap_or(&guessed.method);
            let answer = self.ask(&question, &[], &format!("{method} {}", guessed.path))?;
            let (method, path) =
                answer.split_once(' ').map_or((None, answer.as_str()), |(method, path)| (Some(method), path));
            answers.path = Some(path.trim().to_owned());
            answers.method = answers.method.take().or(method.map(str::to_ascii_uppercase));
        }
        let sends = matches!(answers.method.as_deref(), Some("POST" | "PUT" | "PATCH"));
        if answers.body.is_none() && sends {
            answers.body = Some(self.ask("With which body?", &[], guessed.body.as_deref().unwrap_or("{}"))?);
        }
        Ok(())
    }

    /// One of the words of an enumeration.
    fn pick<T: ValueEnum>(&mut self, question: &str, default: String) -> Result<T, Failure> {
        let words: Vec<Choice> = T::value_variants()
            .iter()
            .filter_map(ValueEnum::to_possible_value)
            .map(|it| Choice {
                text: it.get_name().to_owned(),
                about: it.get_help().map(ToString::to_string).unwrap_or_default(),
            })
            .collect();
        loop {
            let answer = self.ask(question, &words, &default)?;
            match T::from_str(&answer, true) {
                Ok(value) => return Ok(value),
                Err(_) => self.say(&format!("`{answer}` is none of these."))?,
            }
        }
    }

    /// Asks until there is an answer.
    fn ask(&mut self, question: &str, choices: &[Choice], default: &str) -> Result<String, Failure> {
        let mut text = format!("\n{question}\n");
        for (number, Choice { text: choice, about }) in choices.iter().enumerate() {
            text.push_str(format!("{:>3}  {choice:<24}  {about}", number + 1).trim_end());
            text.push('\n');
        }
        self.say(text.trim_end_matches('\n'))?;
        write!(self.output, "[{default}] ").and_then(|()| self.output.flush()).map_err(closed)?;
        let mut line = String::new();
        if self.input.read_line(&mut line).map_err(closed)? == 0 {
            return Err(Failure::usage(Explained::new(
                "the input ended before the last question, and nothing was written",
                "each question has a flag; --yes accepts the defaults",
            )));
        }
        let answer = line.trim();
        let numbered = answer.parse::<usize>().ok().and_then(|number| choices.get(number.checked_sub(1)?));
        Ok(numbered.map_or(if answer.is_empty() { default } else { answer }, |it| &it.text).to_owned())
    }

    fn say(&mut self, text: &str) -> Result<(), Failure> {
        writeln!(self.output, "{text}").map_err(closed)
    }
}

/// The terminal cannot be read or written.
fn closed(error: std::io::Error) -> Failure {
    Failure::environment(error.to_string())
}

fn word<T: ValueEnum>(value: T) -> String {
    value.to_possible_value().map(|it| it.get_name().to_owned()).unwrap_or_default()
}

fn about(workload: &super::facts::Workload) -> String {
    let needs: Vec<&str> = workload.needs.iter().map(String::as_str).collect();
    let pods = if workload.replicas == 1 { "1 pod".to_owned() } else { format!("{} pods", workload.replicas) };
    let needs = if needs.is_empty() { String::new() } else { format!(", needs {}", needs.join(", ")) };
    format!("{} {}, {pods}{needs}", workload.kind, workload.name)
}

/// The facts from the cluster, printed above the first question.
pub fn found(facts: &Facts) -> Vec<String> {
    let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let mut lines = vec![format!(
        "{}, namespace {}: {}, {}",
        facts.cluster,
        facts.namespace,
        plural(facts.services.len(), "service"),
        plural(facts.workloads.len(), "workload")
    )];
    lines.push(match facts.chaos_mesh {
        true => "Chaos Mesh is served: every kind of fault is possible".to_owned(),
        false => "Chaos Mesh is not served: partition and pod_kill are possible".to_owned(),
    });
    lines.extend(facts.privileged.map(|may| match may {
        true => "this namespace accepts privileged pods".to_owned(),
        false => "this namespace refuses privileged pods".to_owned(),
    }));
    if !facts.unreadable.is_empty() {
        lines.push(format!("this account may not list {}, so the names are examples", facts.unreadable.join(", ")));
    }
    lines.extend(facts.workloads.iter().map(|it| format!("  {}", about(it))));
    lines
}

#[cfg(test)]
mod tests {
    use super::super::facts::{Labels, Service, Workload};
    use super::*;

    /// A shop in front of a checkout of three, which needs a database.
    fn shop() -> Facts {
        let labels = |name: &str| Labels::from([("app".to_owned(), name.to_owned())]);
        let service = |name: &str, port: u16| Service {
            name: name.to_owned(),
            ports: vec![(port, String::new())],
            selector: labels(name),
            public: false,
        };
        let workload = |name: &str, replicas: u64, needs: &[&str]| Workload {
            kind: "deployment",
            name: name.to_owned(),
            selector: labels(name),
            labels: labels(name),
            replicas,
            needs: needs.iter().map(|it| (*it).to_owned()).collect(),
            ..Workload::default()
        };
        Facts {
            cluster: "Kubernetes v1.34.1 at https://10.0.0.1".to_owned(),
            namespace: "store".to_owned(),
            services: vec![service("cart", 8080), service("db", 5432), service("storefront", 80)],
            workloads: vec![workload("cart", 3, &["db"]), workload("db", 1, &[]), workload("storefront", 2, &["cart"])],
            ..Facts::default()
        }
    }

    fn dialogue(answers: Answers, facts: Option<&Facts>, typed: &str) -> (Result<Complete, Failure>, String) {
        let mut shown = Vec::new();
        let complete = Dialogue::new(typed.as_bytes(), &mut shown).complete(answers, facts);
        (complete, String::from_utf8(shown).unwrap())
    }

    #[test]
    fn enter_takes_the_guess_from_the_cluster() {
        let facts = shop();
        let (complete, shown) = dialogue(Answers::default(), Some(&facts), "\n\n\n\n\n\n");
        let complete = complete.unwrap();
        assert_eq!(complete.from, Like::Shop);
        assert_eq!((complete.service.as_str(), complete.peer.as_str()), ("storefront:80", "db"));
        assert_eq!((complete.pods.text().as_str(), complete.replicas), ("app=cart", Some(3)));
        assert_eq!(complete.fault, Strike::Partition);
        assert_eq!((complete.method.as_str(), complete.path.as_str(), complete.body.as_deref()), ("GET", "/", None));
        assert!(complete.unknown(&facts).is_empty());
        insta::assert_snapshot!("dialogue", shown);
    }

    #[test]
    fn a_choice_is_a_number_or_a_text_and_a_wrong_word_is_asked_again() {
        let facts = shop();
        let typed = "shp\nshop\n1\n3\npod-kill\npost /orders\n\n";
        let (complete, shown) = dialogue(Answers::default(), Some(&facts), typed);
        let complete = complete.unwrap();
        assert_eq!((complete.service.as_str(), complete.pods.text().as_str()), ("cart:8080", "app=storefront"));
        assert_eq!((complete.method.as_str(), complete.path.as_str()), ("POST", "/orders"));
        assert_eq!((complete.fault, complete.body.as_deref()), (Strike::PodKill, Some("{}")));
        assert!(
            shown.contains("`shp` is none of these.") && shown.contains("Which request needs storefront?"),
            "{shown}"
        );
        assert!(!shown.contains("should it lose"), "a kill has no peer\n{shown}");
    }

    #[test]
    fn flags_are_not_asked_and_an_end_of_input_writes_nothing() {
        let facts = shop();
        let answers = Answers {
            from: Some(Like::Queue),
            service: Some("cart:8080".to_owned()),
            pods: Some(Pods::parse("deployment/cart")),
            peer: Some("db".to_owned()),
            fault: Some(Strike::Partition),
            path: Some("/x".to_owned()),
            ..Answers::default()
        };
        let (complete, shown) = dialogue(answers, Some(&facts), "");
        assert_eq!((complete.unwrap().replicas, shown.as_str()), (Some(3), ""));
        let (complete, _) = dialogue(Answers::default(), None, "llm\n");
        let failure = complete.unwrap_err();
        assert!(failure.code == 2 && failure.why.message.contains("nothing was written"), "{}", failure.why);
    }

    #[test]
    fn a_single_pod_is_not_cut_off() {
        let mut facts = shop();
        facts.workloads.iter_mut().for_each(|it| it.replicas = 1);
        assert_eq!(guess::complete(Answers::default(), Some(&facts)).fault, Strike::PodKill);
        facts.chaos_mesh = true;
        assert_eq!(guess::complete(Answers::default(), Some(&facts)).fault, Strike::Delay);
    }
}
