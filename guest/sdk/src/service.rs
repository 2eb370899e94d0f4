//! Serves any `tower_service::Service`, such as an axum router. It knows no framework.

use std::future::poll_fn;
use std::rc::Rc;

use bytes::Bytes;
use http_body::Body as HttpBody;
use tower_service::Service;

use crate::local::LocalFuture;
use crate::{Body, Error, LazyRequest, Request, Response};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A service with its type forgotten, which an instance keeps as long as it lives.
#[doc(hidden)]
pub struct Served(Rc<dyn Fn(Request) -> LocalFuture<Response>>);

/// What the `http` attribute makes of a fn that returns a service.
#[doc(hidden)]
pub fn serve<S, B>(service: S) -> Served
where
    S: Service<Request, Response = ::http::Response<B>> + Clone + 'static,
    S::Error: Into<BoxError>,
    B: HttpBody<Data = Bytes> + 'static,
    B::Error: Into<BoxError>,
{
    Served(Rc::new(move |request| {
        let mut service = service.clone();
        Box::pin(async move {
            let answered = match poll_fn(|context| service.poll_ready(context)).await {
                Ok(()) => service.call(request).await,
                Err(error) => Err(error),
            };
            match answered {
                Ok(response) => response.map(Body::new),
                Err(error) => crate::IntoResponse::into_response(Error::internal(error)),
            }
        })
    }))
}

impl Served {
    /// Answers one request.
    pub fn call(&self, request: LazyRequest) -> LocalFuture<Response> {
        (self.0)(request.into_request())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::{Ready, ready};
    use std::task::{Context, Poll};

    use tower_service::Service;

    use super::serve;
    use crate::testing::{block_on, lazy};
    use crate::{Body, Request, Response};

    #[derive(Clone)]
    struct Echo;

    impl Service<Request> for Echo {
        type Response = Response;
        type Error = Infallible;
        type Future = Ready<Result<Response, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request) -> Self::Future {
            ready(Ok(Response::new(request.into_body())))
        }
    }

    #[test]
    fn any_service_answers() {
        let served = serve(Echo);
        let request = Request::new(Body::from("ping"));
        let response = block_on(served.call(lazy(request)));
        assert_eq!(block_on(response.into_body().text()).expect("text"), "ping");
    }
}
