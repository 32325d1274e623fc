//! The input `fhir`: the endpoint and its routes.
//!
//! It knows no users: whoever reaches the address may read and write the unit's records. So it listens on
//! loopback, unless the configuration says otherwise in so many words.

use std::net::SocketAddr;

use axum::{
    Router,
    body::Body,
    extract::Request,
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use http::StatusCode;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    answer::Told, bundle, capability, intake::Intake, listen::Bounded, request::check_host, resource,
};
use crate::input::{Input, InputContext, InputError};

/// What an input `fhir` is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FhirSettings {
    /// Where it listens. Whether that may be more than loopback was decided by whoever made this.
    pub listen: SocketAddr,
}

/// Takes FHIR resources and Bundles over HTTP.
pub struct FhirInput {
    listener: TcpListener,
    ctx: InputContext,
}

impl FhirInput {
    /// Listens, so that an address in use is told at the start.
    pub async fn bind(settings: FhirSettings, ctx: InputContext) -> Result<Self, InputError> {
        let listen = settings.listen;
        let listener = TcpListener::bind(listen)
            .await
            .map_err(|source| InputError::Listen { listen, source })?;
        Ok(Self { listener, ctx })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> Result<SocketAddr, InputError> {
        self.listener.local_addr().map_err(InputError::Serve)
    }
}

#[async_trait::async_trait]
impl Input for FhirInput {
    async fn run(self: Box<Self>, stop: CancellationToken) -> Result<(), InputError> {
        let loopback = self.local_addr()?.ip().is_loopback();
        let app = routes(Intake::new(self.ctx), loopback);
        let serve = axum::serve(Bounded::new(self.listener), app);
        tokio::select! {
            // A request under way gets its answer from its commit or none; both are safe to repeat.
            () = stop.cancelled() => Ok(()),
            served = serve.into_future() => served.map_err(InputError::Serve),
        }
    }
}

fn routes(intake: Intake, loopback: bool) -> Router {
    let record = get(resource::read)
        .put(resource::put)
        .post(resource::put)
        .delete(resource::delete);
    let app = Router::new()
        .route("/fhir", post(bundle::post))
        .route("/fhir/", post(bundle::post))
        .route("/fhir/metadata", get(capability::metadata))
        .route("/fhir/{kind}/{id}", record)
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .with_state(intake);
    if loopback {
        app.layer(middleware::from_fn(only_own_host))
    } else {
        app
    }
}

async fn only_own_host(request: Request<Body>, next: Next) -> Response {
    match check_host(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(told) => told.into_response(),
    }
}

async fn not_found() -> Response {
    let text = "there is /fhir/Type/id, /fhir for Bundles, and /fhir/metadata";
    Told::error(StatusCode::NOT_FOUND, "not-found", text).into_response()
}

async fn not_allowed() -> Response {
    let text = "put, get or delete /fhir/Type/id under an id of your own, or post a Bundle to /fhir";
    Told::error(StatusCode::METHOD_NOT_ALLOWED, "not-supported", text).into_response()
}
