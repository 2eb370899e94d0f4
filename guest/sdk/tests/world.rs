//! The embedded worlds are the ones that `wit/` describes. Run it with `EVERWARM_WRITE_WORLD=1` after a
//! change there.

use std::fs;
use std::path::Path;

use wit_component::{StringEncoding, metadata};
use wit_parser::{Resolve, SizeAlign, Type, TypeDefKind, WorldId};

#[path = "../src/sys/p3/abi/layout.rs"]
mod layout;

fn world(wit: &str) -> (Resolve, WorldId) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut resolve = Resolve::default();
    let package = resolve
        .push_file(root.join("wit").join(wit))
        .expect("valid WIT");
    let world = resolve
        .select_world(&[package], Some("http"))
        .expect("a world called http");
    (resolve, world)
}

fn assert_embedded(wit: &str, embedded: &str) {
    let (resolve, world) = world(wit);
    let encoded = metadata::encode(&resolve, world, StringEncoding::UTF8, None)
        .expect("a world that can be encoded");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(embedded);
    if std::env::var_os("EVERWARM_WRITE_WORLD").is_some() {
        fs::write(&path, &encoded).expect("a writable source tree");
    }
    let found = fs::read(path).expect("the embedded world");
    assert!(found == encoded, "{embedded} is not the world of {wit}");
}

#[test]
fn embedded_worlds_are_the_ones_that_are_described() {
    assert_embedded("wasi-0.2.wit", "src/sys/p2/world.bin");
    assert_embedded("wasi-0.3.wit", "src/sys/p3/world.bin");
}

/// WASI 0.3's types, and where their parts lie.
struct Types {
    resolve: Resolve,
    sizes: SizeAlign,
}

impl Types {
    fn new() -> Self {
        let (resolve, _) = world("wasi-0.3.wit");
        let mut sizes = SizeAlign::default();
        sizes.fill(&resolve);
        Self { resolve, sizes }
    }

    fn kind(&self, of: Type) -> &TypeDefKind {
        let Type::Id(id) = of else {
            panic!("{of:?} has no parts");
        };
        match &self.resolve.types[id].kind {
            TypeDefKind::Type(same) => self.kind(*same),
            kind => kind,
        }
    }

    /// A type of `wasi:http/types`.
    fn named(&self, name: &str) -> Type {
        let mut interfaces = self.resolve.interfaces.iter();
        let found = interfaces.find_map(|(_, interface)| {
            let is_http = interface.name.as_deref() == Some("types");
            is_http.then(|| interface.types.get(name).copied())?
        });
        Type::Id(found.expect("a type of that name"))
    }

    /// What a function of `wasi:http/types` is given as its last argument, or else returns.
    fn function(&self, name: &str) -> (Option<Type>, Option<Type>) {
        let mut interfaces = self.resolve.interfaces.iter();
        let found = interfaces.find_map(|(_, interface)| interface.functions.get(name));
        let function = found.expect("a function of that name");
        (function.params.last().map(|it| it.ty), function.result)
    }

    fn size(&self, of: Type) -> usize {
        self.sizes.size(&of).size_wasm32()
    }

    /// Where a case's value lies, and that value's type. The first case is 0.
    fn case(&self, of: Type, case: usize) -> (usize, Option<Type>) {
        let cases: Vec<Option<Type>> = match self.kind(of) {
            TypeDefKind::Option(some) => vec![None, Some(*some)],
            TypeDefKind::Result(result) => vec![result.ok, result.err],
            TypeDefKind::Variant(variant) => variant.cases.iter().map(|case| case.ty).collect(),
            other => panic!("{other:?} has no cases"),
        };
        let tag = match self.kind(of) {
            TypeDefKind::Variant(variant) => variant.tag(),
            _ => wit_parser::Int::U8,
        };
        let place = self
            .sizes
            .payload_offset(tag, cases.iter().map(Option::as_ref));
        (place.size_wasm32(), cases[case])
    }

    /// Where texts lie in a value, each with the options that have to be there on the way to it.
    fn texts(&self, of: Type, place: usize, options: &[usize]) -> Vec<(usize, Vec<usize>)> {
        match of {
            Type::String => return vec![(place, options.to_vec())],
            Type::Id(_) => {}
            _ => return Vec::new(),
        }
        match self.kind(of) {
            TypeDefKind::Option(some) => {
                let (inner, _) = self.case(of, 1);
                let options = [options, &[place]].concat();
                self.texts(*some, place + inner, &options)
            }
            TypeDefKind::Record(record) => {
                let fields = record.fields.iter().map(|field| &field.ty);
                let fields = self.sizes.field_offsets(fields);
                let texts = fields
                    .into_iter()
                    .flat_map(|(inner, ty)| self.texts(*ty, place + inner.size_wasm32(), options));
                texts.collect()
            }
            other => panic!("{other:?} may hold texts, and is not looked into"),
        }
    }

    /// The cases of a variant that hold texts, with what `texts` says of each.
    fn cases_with_texts(&self, of: Type, place: usize) -> Vec<(u8, usize, Vec<usize>)> {
        let TypeDefKind::Variant(variant) = self.kind(of) else {
            panic!("{of:?} is no variant");
        };
        let mut found = Vec::new();
        for (case, number) in variant.cases.iter().zip(0u8..) {
            let Some(ty) = case.ty else { continue };
            let (inner, _) = self.case(of, usize::from(number));
            for (text, options) in self.texts(ty, place + inner, &[]) {
                found.push((number, text, options));
            }
        }
        found
    }
}

#[test]
fn fields_result_lies_where_the_bindings_read_it() {
    let types = Types::new();
    let (_, result) = types.function("[static]fields.from-list");
    let result = result.expect("a result");
    assert_eq!(types.size(result), layout::FIELDS_RESULT);
    let (place, error) = types.case(result, 1);
    assert_eq!(place, layout::FIELDS_HANDLE);
    let texts = types.cases_with_texts(error.expect("an error"), place);
    let (case, option) = layout::HEADER_TEXT;
    assert_eq!(texts, [(case, option + 4, vec![option])]);
}

#[test]
fn trailers_result_lies_where_the_bindings_read_it() {
    let types = Types::new();
    let (trailers, made) = types.function("[static]response.new");
    let future = |ty: Type| match types.kind(ty) {
        TypeDefKind::Future(Some(result)) => *result,
        other => panic!("{other:?} is no future with a value"),
    };
    let result = future(trailers.expect("trailers"));
    assert_eq!(types.size(result), layout::TRAILERS_RESULT);
    let (place, option) = types.case(result, 0);
    assert_eq!(place, layout::TRAILERS_OPTION);
    let (inner, _) = types.case(option.expect("an option"), 1);
    assert_eq!(place + inner, layout::TRAILERS_HANDLE);

    let TypeDefKind::Tuple(made) = types.kind(made.expect("a result")) else {
        panic!("a response comes alone");
    };
    let outcome = future(made.types[1]);
    assert_eq!(types.size(outcome), layout::TRAILERS_RESULT);
    assert_eq!(types.case(outcome, 1).0, layout::TRAILERS_OPTION);
}

#[test]
fn texts_of_error_codes_lie_where_the_bindings_free_them() {
    let types = Types::new();
    let code = types.named("error-code");
    let TypeDefKind::Variant(variant) = types.kind(code) else {
        panic!("error-code is no variant");
    };
    let internal = &variant.cases[usize::from(layout::INTERNAL_ERROR)];
    assert_eq!(internal.name, "internal-error");
    let expected = layout::ERROR_TEXTS.map(|(case, option)| {
        let (outer_case, outer) = layout::ERROR_TEXT_IN_OPTION;
        let options = if case == outer_case {
            vec![outer, option]
        } else {
            vec![option]
        };
        (case, option + 4, options)
    });
    let texts = types.cases_with_texts(code, layout::TRAILERS_OPTION);
    assert_eq!(texts, expected);
}
