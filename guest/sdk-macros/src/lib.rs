//! The attribute of `everwarm-sdk`. It only finds out what shape of fn it stands on: the types are
//! checked by the SDK's traits, so that errors are the compiler's own.

use proc_macro::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};

/// Makes a fn the component's HTTP handler.
///
/// On an `async fn` with no argument or one that implements `FromRequest`, the fn answers each
/// request with what it returns, which implements `IntoResponse`. On a fn that is not async, the fn
/// is called once an instance and returns a `tower_service::Service`, such as an `axum::Router`.
#[proc_macro_attribute]
pub fn http(arguments: TokenStream, item: TokenStream) -> TokenStream {
    if let Some(token) = arguments.into_iter().next() {
        return error(token.span(), "`http` takes no arguments");
    }
    let shape = match Shape::of(item.clone()) {
        Ok(shape) => shape,
        Err((span, message)) => return error(span, message),
    };
    let name = shape.name.to_string();
    let body = match (shape.is_async, shape.has_argument) {
        (true, false) => format!("::everwarm_sdk::__private::answer({name}())"),
        (true, true) => format!("::everwarm_sdk::__private::answer_request({name}, request)"),
        (false, _) => format!(
            "{{
                ::std::thread_local! {{
                    static SERVED: ::everwarm_sdk::__private::Served =
                        ::everwarm_sdk::__private::serve({name}());
                }}
                SERVED.with(|served| served.call(request))
            }}"
        ),
    };
    let glue = format!(
        "#[doc(hidden)]
        #[allow(missing_docs, unused_variables, unsafe_code, clippy::all, clippy::pedantic)]
        const _: () = {{
            struct Handler;
            impl ::everwarm_sdk::__private::Exported for Handler {{
                fn handle(
                    request: ::everwarm_sdk::LazyRequest,
                ) -> impl ::core::future::Future<Output = ::everwarm_sdk::Response> {{
                    {body}
                }}
            }}
            ::everwarm_sdk::__export!(Handler);
        }};"
    );
    match glue.parse::<TokenStream>() {
        Ok(glue) => item
            .into_iter()
            .chain(glue.into_iter().map(|token| at(token, shape.name.span())))
            .collect(),
        Err(_) => error(shape.name.span(), "the fn's name can't be used as a path"),
    }
}

/// What the attribute needs to know of the fn that it stands on.
struct Shape {
    name: Ident,
    is_async: bool,
    has_argument: bool,
}

impl Shape {
    fn of(item: TokenStream) -> Result<Self, (Span, &'static str)> {
        const WANTED: &str = "`http` stands on a fn";
        let mut tokens = item.into_iter();
        let mut is_async = false;
        let found = tokens.by_ref().find(|token| {
            is_async |= is_word(token, "async");
            is_word(token, "fn")
        });
        if found.is_none() {
            return Err((Span::call_site(), WANTED));
        }
        let Some(TokenTree::Ident(name)) = tokens.next() else {
            return Err((Span::call_site(), WANTED));
        };
        let Some(TokenTree::Group(arguments)) = tokens.next() else {
            return Err((name.span(), "a handler can't be generic"));
        };
        if arguments.delimiter() != Delimiter::Parenthesis {
            return Err((arguments.span(), WANTED));
        }
        let has_argument = !arguments.stream().is_empty();
        if arguments_len(&arguments) > 1 {
            let message = "a handler takes no argument or one; see `FromRequest`";
            return Err((arguments.span(), message));
        }
        if has_argument && !is_async {
            let message = "a fn that returns a service takes no argument; a handler is `async`";
            return Err((arguments.span(), message));
        }
        Ok(Self {
            name,
            is_async,
            has_argument,
        })
    }
}

fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident.to_string() == word)
}

/// How many arguments a fn has: commas in generics belong to a type, not to the list.
fn arguments_len(arguments: &Group) -> usize {
    let mut depth = 0usize;
    let mut len = 0;
    let mut empty = true;
    let mut previous = ' ';
    for token in arguments.stream() {
        let mark = match &token {
            TokenTree::Punct(punct) => punct.as_char(),
            _ => ' ',
        };
        match mark {
            '<' => depth += 1,
            '>' if previous != '-' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                len += 1;
                empty = true;
            }
            _ => {}
        }
        if mark != ',' {
            empty = false;
        }
        previous = mark;
    }
    len + usize::from(!empty)
}

/// The token as if it stood in the fn's place, so that errors point there.
fn at(mut token: TokenTree, span: Span) -> TokenTree {
    if let TokenTree::Group(group) = &token {
        let inner = group.stream().into_iter().map(|token| at(token, span));
        token = Group::new(group.delimiter(), inner.collect()).into();
    }
    token.set_span(span.resolved_at(Span::call_site()));
    token
}

fn error(span: Span, message: &str) -> TokenStream {
    let literal = TokenTree::Literal(Literal::string(message));
    let tokens = [
        TokenTree::Ident(Ident::new("compile_error", span)),
        TokenTree::Punct(Punct::new('!', Spacing::Alone)),
        TokenTree::Group(Group::new(Delimiter::Parenthesis, literal.into())),
        TokenTree::Punct(Punct::new(';', Spacing::Alone)),
    ];
    tokens
        .into_iter()
        .map(|mut token| {
            token.set_span(span);
            token
        })
        .collect()
}
