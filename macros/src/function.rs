//! An async function without parameters, as tokens.

use proc_macro::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};

use crate::output::{Error, parsed};

/// An async function without parameters.
pub(crate) struct Function {
    pub(crate) name: Ident,
    /// Attributes and visibility.
    outer: Vec<TokenTree>,
    /// `async`.
    qualifier: TokenTree,
    /// From `fn` to before the body.
    signature: Vec<TokenTree>,
    body: TokenTree,
}

impl Function {
    /// Parses the item that has the attribute `#[brigade::macro_name]`.
    pub(crate) fn parse(macro_name: &str, item: TokenStream) -> Result<Self, Error> {
        let needs = |what: &str| format!("`#[brigade::{macro_name}]` needs {what}");
        let mut tokens: Vec<_> = item.into_iter().collect();
        let Some(start) = tokens.iter().position(|token| is_word(token, "fn")) else {
            return Err(Error::new(first_span(&tokens), needs("an async function")));
        };
        let mut signature = tokens.split_off(start);
        let fn_span = signature[0].span();
        let is_async = |token: &TokenTree| is_word(token, "async");
        let Some(qualifier) = tokens.pop_if(|token| is_async(token)) else {
            let what = if tokens.iter().any(is_async) {
                "a function that is neither unsafe nor extern"
            } else {
                "an async function: add `async` before `fn`"
            };
            return Err(Error::new(fn_span, needs(what)));
        };
        let Some(TokenTree::Ident(name)) = signature.get(1).cloned() else {
            return Err(Error::new(fn_span, needs("an async function with a name")));
        };
        match signature.get(2) {
            Some(TokenTree::Group(parameters)) if parameters.stream().is_empty() => {}
            Some(TokenTree::Group(parameters)) => {
                return Err(Error::new(parameters.span(), needs("a function without parameters")));
            }
            _ => {
                return Err(Error::new(name.span(), needs("a function without generics")));
            }
        }
        let Some(body) = signature.pop_if(|token| is_block(token)) else {
            return Err(Error::new(name.span(), needs("a function with a body")));
        };
        Ok(Self { name, outer: tokens, qualifier, signature, body })
    }

    /// Returns a function that is not async, with the attribute `attribute`, which contains this
    /// one and then runs the code `run`.
    pub(crate) fn wrap(self, attribute: &str, run: &str) -> TokenStream {
        let inner = [self.qualifier].into_iter().chain(self.signature.iter().cloned());
        let body: TokenStream = inner.chain([self.body]).chain(parsed(run)).collect();
        let body = TokenTree::Group(Group::new(Delimiter::Brace, body));
        let outer = parsed(attribute).into_iter().chain(self.outer);
        outer.chain(self.signature).chain([body]).collect()
    }
}

fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident.to_string() == word)
}

fn is_block(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}

fn first_span(tokens: &[TokenTree]) -> Span {
    tokens.first().map_or_else(Span::call_site, TokenTree::span)
}
