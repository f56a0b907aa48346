//! The modules of a crate, and which file defines what a path names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::visit::Visit;

/// The segments of a path, `crate`, `self` and `super` included.
pub type Segments = Vec<String>;

/// One `use` of one name.
pub struct Use {
    pub name: String,
    pub path: Segments,
    /// Whether it names the item for other modules too.
    pub public: bool,
}

/// A module, in a file of its own or inline.
#[derive(Default)]
pub struct Module {
    pub file: PathBuf,
    pub uses: Vec<Use>,
    /// The paths of the code, outside of `use`.
    pub paths: BTreeSet<Segments>,
    /// The identifiers of the code, outside of `use`.
    pub words: BTreeSet<String>,
    parent: usize,
    modules: BTreeMap<String, usize>,
    items: BTreeSet<String>,
    globs: Vec<Segments>,
}

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Module(usize),
    /// An item, by the file that defines it and its name.
    Item(PathBuf, String),
}

/// The modules of a crate, the root first, without those that only tests compile.
pub struct Crate {
    pub modules: Vec<Module>,
}

impl Crate {
    /// Reads a crate from its root file. The paths of its files stay relative to `base`.
    pub fn read(base: &Path, root: &Path) -> Self {
        let mut read = Self { modules: Vec::new() };
        let folder = root.parent().expect("a folder").to_owned();
        read.file(base, root.to_owned(), &folder, 0);
        read
    }

    fn file(&mut self, base: &Path, path: PathBuf, folder: &Path, parent: usize) -> usize {
        let text = std::fs::read_to_string(base.join(&path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let file = syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        self.module(base, path, folder, parent, &file.items)
    }

    fn module(&mut self, base: &Path, file: PathBuf, folder: &Path, parent: usize, items: &[syn::Item]) -> usize {
        let index = self.modules.len();
        self.modules.push(Module { file: file.clone(), parent, ..Module::default() });
        for item in items {
            let tokens = item.to_token_stream();
            if without_tests(tokens.clone()).is_empty() {
                continue;
            }
            if let syn::Item::Mod(inner) = item {
                let name = inner.ident.to_string();
                let within = folder.join(&name);
                let child = match &inner.content {
                    Some((_, items)) => self.module(base, file.clone(), &within, index, items),
                    None => {
                        let file = folder.join(format!("{name}.rs"));
                        let path = if base.join(&file).exists() { file } else { within.join("mod.rs") };
                        self.file(base, path, &within, index)
                    }
                };
                self.modules[index].modules.insert(name, child);
                continue;
            }
            let module = &mut self.modules[index];
            module.items.extend(defined(item));
            Uses(module).visit_item(item);
            if !matches!(item, syn::Item::Use(_)) {
                module.code(without_tests(tokens));
            }
        }
        index
    }

    /// Whether its code, or a `use` of it, has this word.
    pub fn names(&self, word: &str) -> bool {
        let begins = |path: &Segments| path.first().is_some_and(|first| first == word);
        self.modules.iter().any(|it| it.words.contains(word) || it.uses.iter().any(|one| begins(&one.path)))
    }

    /// What a path names in a module, `None` for what another crate defines.
    ///
    /// A re-export is followed to the file that defines the item. A name that is in no list of a module of this crate (a
    /// macro defines it) counts as defined in the file of that module.
    pub fn resolve(&self, module: usize, path: &[String]) -> Option<Target> {
        self.follow(module, path, 0)
    }

    fn follow(&self, module: usize, path: &[String], depth: usize) -> Option<Target> {
        if depth > 16 {
            return None;
        }
        let (mut at, mut local) = (module, false);
        for (position, segment) in path.iter().enumerate() {
            let last = position + 1 == path.len();
            match segment.as_str() {
                "crate" => (at, local) = (0, true),
                "self" if position == 0 => local = true,
                "self" => {}
                "super" => (at, local) = (self.modules[at].parent, true),
                name => match self.lookup(at, name, !last, depth) {
                    Lookup::Found(Target::Module(inner)) => (at, local) = (inner, true),
                    Lookup::Found(item) => return Some(item),
                    Lookup::Elsewhere => return None,
                    Lookup::Unknown if local => {
                        return Some(Target::Item(self.modules[at].file.clone(), name.to_owned()));
                    }
                    Lookup::Unknown => return None,
                },
            }
        }
        local.then_some(Target::Module(at))
    }

    fn lookup(&self, at: usize, name: &str, module_first: bool, depth: usize) -> Lookup {
        let module = &self.modules[at];
        let inner = module.modules.get(name).map(|inner| Lookup::Found(Target::Module(*inner)));
        if let (true, Some(inner)) = (module_first, &inner) {
            return inner.clone();
        }
        if module.items.contains(name) {
            return Lookup::Found(Target::Item(module.file.clone(), name.to_owned()));
        }
        if let Some(used) = module.uses.iter().find(|used| used.name == name) {
            return self.follow(at, &used.path, depth + 1).map_or(Lookup::Elsewhere, Lookup::Found);
        }
        if let Some(inner) = inner {
            return inner;
        }
        for glob in &module.globs {
            let Some(Target::Module(inner)) = self.follow(at, glob, depth + 1) else { continue };
            if let found @ Lookup::Found(_) = self.lookup(inner, name, module_first, depth + 1) {
                return found;
            }
        }
        Lookup::Unknown
    }
}

#[derive(Clone)]
enum Lookup {
    Found(Target),
    /// Another crate defines it.
    Elsewhere,
    Unknown,
}

impl Module {
    /// Takes the paths and identifiers of some code.
    fn code(&mut self, tokens: TokenStream) {
        let mut path = Segments::new();
        let mut colons = 0;
        let mut attribute = false;
        for token in tokens {
            match token {
                TokenTree::Ident(word) => {
                    let word = word.to_string();
                    if colons != 2 {
                        self.end(&mut path);
                    }
                    // What follows a leading `::` or a `>::` is no path of this crate.
                    if colons != 2 || !path.is_empty() {
                        path.push(word.clone());
                    }
                    self.words.insert(word);
                    (colons, attribute) = (0, false);
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => {
                    self.end(&mut path);
                    if attribute {
                        self.strings(group.stream());
                    }
                    self.code(group.stream());
                    (colons, attribute) = (0, false);
                }
                other => {
                    self.end(&mut path);
                    attribute = matches!(&other, TokenTree::Punct(mark) if mark.as_char() == '#');
                    colons = 0;
                }
            }
        }
        self.end(&mut path);
    }

    fn end(&mut self, path: &mut Segments) {
        if !path.is_empty() {
            self.paths.insert(std::mem::take(path));
        }
    }

    /// Takes the paths that an attribute has as strings: `default = "crate::one"`.
    fn strings(&mut self, attribute: TokenStream) {
        if syn::parse2::<syn::Meta>(attribute.clone()).is_ok_and(|meta| meta.path().is_ident("doc")) {
            return;
        }
        for token in attribute {
            match token {
                TokenTree::Group(group) => self.strings(group.stream()),
                TokenTree::Literal(literal) => {
                    let text = literal.to_string();
                    let text = text.trim_matches('"');
                    if let Ok(path) = syn::parse_str::<syn::Path>(text) {
                        self.paths.insert(path.segments.iter().map(|one| one.ident.to_string()).collect());
                    }
                }
                TokenTree::Ident(_) | TokenTree::Punct(_) => {}
            }
        }
    }
}

/// Takes every `use` of an item, those in its functions too.
struct Uses<'a>(&'a mut Module);

impl Visit<'_> for Uses<'_> {
    fn visit_item_use(&mut self, item: &syn::ItemUse) {
        if item.leading_colon.is_none() && !without_tests(item.to_token_stream()).is_empty() {
            let public = !matches!(item.vis, syn::Visibility::Inherited);
            self.tree(&item.tree, &mut Vec::new(), public);
        }
    }
}

impl Uses<'_> {
    fn tree(&mut self, tree: &syn::UseTree, path: &mut Segments, public: bool) {
        match tree {
            syn::UseTree::Path(one) => {
                path.push(one.ident.to_string());
                self.tree(&one.tree, path, public);
                path.pop();
            }
            syn::UseTree::Name(one) => self.leaf(&one.ident, &one.ident, path, public),
            syn::UseTree::Rename(one) => self.leaf(&one.ident, &one.rename, path, public),
            syn::UseTree::Glob(_) => self.0.globs.push(path.clone()),
            syn::UseTree::Group(group) => group.items.iter().for_each(|one| self.tree(one, path, public)),
        }
    }

    fn leaf(&mut self, ident: &syn::Ident, name: &syn::Ident, path: &[String], public: bool) {
        let mut path = path.to_vec();
        let mut name = name.to_string();
        if ident == "self" {
            if name == "self" {
                name = path.last().cloned().unwrap_or_default();
            }
        } else {
            path.push(ident.to_string());
        }
        self.0.uses.push(Use { name, path, public });
    }
}

/// The names that an item defines in its module.
fn defined(item: &syn::Item) -> Option<String> {
    let ident = match item {
        syn::Item::Const(item) => &item.ident,
        syn::Item::Enum(item) => &item.ident,
        syn::Item::Fn(item) => &item.sig.ident,
        syn::Item::Macro(item) => item.ident.as_ref()?,
        syn::Item::Static(item) => &item.ident,
        syn::Item::Struct(item) => &item.ident,
        syn::Item::Trait(item) => &item.ident,
        syn::Item::Type(item) => &item.ident,
        syn::Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(ident.to_string())
}

/// The tokens without what only tests compile: `#[cfg(test)]` and the feature `testing`.
pub fn without_tests(tokens: TokenStream) -> TokenStream {
    let mut kept = Vec::new();
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        if let (TokenTree::Punct(mark), Some(TokenTree::Group(attribute))) = (&token, tokens.peek())
            && mark.as_char() == '#'
            && is_test(attribute.stream())
        {
            skip_item(&mut tokens);
            continue;
        }
        kept.push(match token {
            TokenTree::Group(group) => {
                let inner = without_tests(group.stream());
                TokenTree::Group(proc_macro2::Group::new(group.delimiter(), inner))
            }
            other => other,
        });
    }
    kept.into_iter().collect()
}

/// Passes over an item, statement, field or variant: it ends with its block, a semicolon or a comma.
fn skip_item(tokens: &mut std::iter::Peekable<proc_macro2::token_stream::IntoIter>) {
    let (mut angles, mut dash) = (0, false);
    while let Some(token) = tokens.next() {
        let mark = if let TokenTree::Punct(mark) = &token { mark.as_char() } else { ' ' };
        let next = match tokens.peek() {
            Some(TokenTree::Punct(mark)) => mark.as_char(),
            _ => ' ',
        };
        match &token {
            TokenTree::Group(group) if group.delimiter() == proc_macro2::Delimiter::Brace && next != ';' => return,
            _ if mark == ';' || mark == ',' && angles == 0 => return,
            _ if mark == '<' => angles += 1,
            _ if mark == '>' && !dash => angles -= 1,
            _ => {}
        }
        dash = mark == '-' || mark == '=';
    }
}

fn is_test(attribute: TokenStream) -> bool {
    let Ok(syn::Meta::List(list)) = syn::parse2(attribute) else { return false };
    let text = list.tokens.to_string();
    list.path.is_ident("cfg") && (text == "test" || text.starts_with("any (test ,") || text.contains("\"testing\""))
}
