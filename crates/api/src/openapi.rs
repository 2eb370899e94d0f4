//! The OpenAPI document, made of the list of operations and the types that the client shares.

use http::Method;
use utoipa::ToSchema;
pub use utoipa::openapi::OpenApi;
use utoipa::openapi::path::{OperationBuilder, ParameterBuilder, ParameterIn, PathsBuilder};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, Content, HttpMethod, InfoBuilder, LicenseBuilder, OpenApiBuilder, PathItem,
    Ref, RefOr, Required, ResponseBuilder, Schema,
};

use crate::operations::{ALL, Body, Operation, Place, TENANT_HEADER, TypeSchema};
use crate::problem::{self, Problem};

/// How a token is sent, in the document's words.
const SECURITY: &str = "token";

/// The document of this release.
pub fn document(version: &str) -> OpenApi {
    let mut components = ComponentsBuilder::new()
        .schema(
            Problem::name(),
            <Problem as utoipa::PartialSchema>::schema(),
        )
        .security_scheme(SECURITY, SecurityScheme::Http(bearer()));
    let mut paths = PathsBuilder::new();
    for operation in ALL {
        for body in [operation.request, operation.response] {
            if let Body::Json(schema) = body {
                let mut referred = Vec::new();
                (schema.collect)(&mut referred);
                components = components
                    .schema((schema.name)(), (schema.schema)())
                    .schemas_from_iter(referred);
            }
        }
        let item = PathItem::new(method(operation.method), described(operation));
        paths = paths.path(operation.path, item);
    }
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Everwarm admin API")
                .version(version)
                .description(Some("What an operator and a deployer ask of a node."))
                .license(Some(
                    LicenseBuilder::new()
                        .name("Apache-2.0")
                        .identifier(Some("Apache-2.0"))
                        .build(),
                ))
                .build(),
        )
        .paths(paths.build())
        .components(Some(components.build()))
        .security(Some([SecurityRequirement::new::<_, [&str; 0], &str>(
            SECURITY,
            [],
        )]))
        .build()
}

fn bearer() -> utoipa::openapi::security::Http {
    HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "A token of the tenant, or of the node (`everwarm token`).",
        ))
        .build()
}

fn described(operation: &Operation) -> OperationBuilder {
    let needs = if operation.node_only {
        "a token of the node with scope"
    } else {
        "a token with scope"
    };
    let mut built = OperationBuilder::new()
        .operation_id(Some(operation.id))
        .summary(Some(operation.summary))
        .description(Some(format!(
            "Needs {needs} `{}`.",
            operation.scope.as_str()
        )))
        .response("default", failed());
    for parameter in operation.parameters {
        let place = match parameter.place {
            Place::Path => (ParameterIn::Path, Required::True),
            Place::Query => (ParameterIn::Query, Required::False),
            Place::Header => (ParameterIn::Header, Required::False),
        };
        built = built.parameter(text_parameter(parameter.name, place, parameter.meaning));
    }
    if !operation.node_only {
        let meaning = "With a token of the node: for which tenant. Absent: `default`.";
        let place = (ParameterIn::Header, Required::False);
        built = built.parameter(text_parameter(TENANT_HEADER, place, meaning));
    }
    built = match operation.request {
        Body::Nothing => built,
        Body::Other {
            media_type,
            meaning,
        } => built.request_body(Some(
            RequestBodyBuilder::new()
                .description(Some(meaning))
                .content(media_type, Content::new::<RefOr<Schema>>(None))
                .required(Some(Required::True))
                .build(),
        )),
        Body::Bytes => built.request_body(Some(
            RequestBodyBuilder::new()
                .content("application/wasm", Content::new::<RefOr<Schema>>(None))
                .required(Some(Required::True))
                .build(),
        )),
        Body::Json(schema) => built.request_body(Some(
            RequestBodyBuilder::new()
                .content("application/json", Content::new(Some(reference(schema))))
                .required(Some(Required::True))
                .build(),
        )),
    };
    match operation.response {
        Body::Other {
            media_type,
            meaning,
        } => built.response(
            "200",
            ResponseBuilder::new()
                .description(format!("Done: {meaning}."))
                .content(media_type, Content::new::<RefOr<Schema>>(None))
                .build(),
        ),
        Body::Nothing | Body::Bytes => {
            built.response("204", ResponseBuilder::new().description("Done.").build())
        }
        Body::Json(schema) => built.response(
            "200",
            ResponseBuilder::new()
                .description("Done.")
                .content("application/json", Content::new(Some(reference(schema))))
                .build(),
        ),
    }
}

fn text_parameter(
    name: &str,
    (place, required): (ParameterIn, Required),
    meaning: &str,
) -> ParameterBuilder {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .description(Some(meaning))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
}

fn failed() -> ResponseBuilder {
    let problem = Ref::from_schema_name(Problem::name());
    ResponseBuilder::new()
        .description("It failed; the code has a page.")
        .content(problem::MEDIA_TYPE, Content::new(Some(problem)))
}

fn reference(schema: TypeSchema) -> Ref {
    Ref::from_schema_name((schema.name)())
}

fn method(method: &Method) -> HttpMethod {
    match *method {
        Method::POST => HttpMethod::Post,
        Method::PUT => HttpMethod::Put,
        Method::DELETE => HttpMethod::Delete,
        Method::HEAD => HttpMethod::Head,
        _ => HttpMethod::Get,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn document() -> Value {
        serde_json::to_value(super::document("0.0.0")).unwrap()
    }

    #[test]
    fn every_operation_is_in_the_document_once() {
        let document = document();
        let paths = document["paths"].as_object().unwrap();
        let ids: Vec<&str> = paths
            .values()
            .flat_map(|item| item.as_object().unwrap().values())
            .filter_map(|operation| operation["operationId"].as_str())
            .collect();
        let unique: BTreeSet<&str> = ids.iter().copied().collect();
        let expected: BTreeSet<&str> = ALL.iter().map(|operation| operation.id).collect();
        assert_eq!(unique, expected);
        assert_eq!(ids.len(), ALL.len());
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references(value: &Value, found: &mut BTreeSet<String>) {
            match value {
                Value::Object(members) => {
                    for (name, member) in members {
                        match member.as_str() {
                            Some(target) if name == "$ref" => {
                                found.insert(target.to_owned());
                            }
                            _ => references(member, found),
                        }
                    }
                }
                Value::Array(items) => items.iter().for_each(|item| references(item, found)),
                _ => {}
            }
        }
        let document = document();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.contains("#/components/schemas/Traffic"));
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn path_parameters_are_those_of_the_template() {
        for operation in ALL {
            let in_template: BTreeSet<&str> = operation
                .path
                .split('/')
                .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
                .collect();
            let listed: BTreeSet<&str> = operation
                .parameters
                .iter()
                .filter(|parameter| parameter.place == Place::Path)
                .map(|parameter| parameter.name)
                .collect();
            assert_eq!(in_template, listed, "{}", operation.id);
        }
    }
}
