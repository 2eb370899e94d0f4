//! Values lie in memory where the bindings read and write them: their numbers are compared with the
//! component toolchain's, which are of the WIT. How an `error-code` lies is tested beside its reader.

use std::path::Path;

use wit_parser::{Function, Int, Resolve, SizeAlign, Type, TypeDefKind};

#[path = "../src/sys/config/layout.rs"]
mod config;
#[path = "../src/sys/p2/abi/layout.rs"]
mod p2;
#[path = "../src/sys/p3/abi/layout.rs"]
mod p3;

/// The types of `wasi:http`, and where their parts lie.
struct Types {
    resolve: Resolve,
    sizes: SizeAlign,
}

impl Types {
    fn of(wit: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("wit").join(wit);
        let mut resolve = Resolve::default();
        resolve.push_file(path).expect("valid WIT");
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

    fn function(&self, interface: &str, name: &str) -> &Function {
        self.function_of("http", interface, name)
    }

    fn function_of(&self, package: &str, interface: &str, name: &str) -> &Function {
        let mut packages = self.resolve.packages.iter();
        let found = packages.find(|(_, found)| found.name.name == package);
        let interface = found.expect("the package").1.interfaces[interface];
        &self.resolve.interfaces[interface].functions[name]
    }

    /// What a function of `types` returns.
    fn result(&self, name: &str) -> Type {
        let result = self.function("types", name).result;
        result.expect("a function with a result")
    }

    fn size(&self, of: Type) -> usize {
        assert!(self.sizes.align(&of).align_wasm32() <= 8);
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
            _ => Int::U8,
        };
        let place = self
            .sizes
            .payload_offset(tag, cases.iter().map(Option::as_ref));
        (place.size_wasm32(), cases[case])
    }

    /// Where a case's value lies that is there, and that value's type.
    fn value(&self, of: Type, case: usize) -> (usize, Type) {
        let (place, value) = self.case(of, case);
        (place, value.expect("a case with a value"))
    }

    /// Which case of a variant holds an optional text, and where that lies. No other case may hold anything.
    fn only_text(&self, of: Type, place: usize) -> (u8, usize) {
        let TypeDefKind::Variant(variant) = self.kind(of) else {
            panic!("{of:?} is no variant");
        };
        let mut cases = variant.cases.iter().zip(0u8..);
        let (_, number) = cases.find(|(case, _)| case.ty.is_some()).expect("a value");
        assert!(cases.all(|(case, _)| case.ty.is_none()));
        let (inner, value) = self.value(of, usize::from(number));
        assert_eq!(self.value(value, 1), (4, Type::String));
        (number, place + inner)
    }

    /// What is in a future of a value.
    fn future(&self, of: Type) -> Type {
        match self.kind(of) {
            TypeDefKind::Future(Some(value)) => *value,
            other => panic!("{other:?} is no future with a value"),
        }
    }

    fn is_handle(&self, of: Type) -> bool {
        matches!(self.kind(of), TypeDefKind::Handle(_))
    }

    /// Whether an `option<trailers>` has its handle at 4.
    fn is_trailers(&self, of: Type) -> bool {
        let (place, handle) = self.value(of, 1);
        place == 4 && self.is_handle(handle)
    }
}

#[test]
fn results_of_config_lie_where_the_bindings_read_them() {
    for wit in ["wasi-0.2.wit", "wasi-0.3.wit"] {
        let types = Types::of(wit);
        let result = |name: &str| {
            let result = types.function_of("config", "store", name).result;
            let result = result.expect("a result");
            assert_eq!(types.size(result), config::RESULT);
            let (place, error) = types.value(result, 1);
            assert_eq!(place, config::VALUE);
            for case in [0, 1] {
                let (inner, text) = types.value(error, case);
                assert_eq!((place + inner, text), (config::TEXT, Type::String));
            }
            let (place, value) = types.value(result, 0);
            assert_eq!(place, config::VALUE);
            value
        };
        let (inner, text) = types.value(result("get"), 1);
        assert_eq!((config::VALUE + inner, text), (config::TEXT, Type::String));
        let all = result("get-all");
        let TypeDefKind::List(entry) = types.kind(all) else {
            panic!("{all:?} is no list");
        };
        let TypeDefKind::Tuple(entry) = types.kind(*entry) else {
            panic!("{entry:?} is no tuple");
        };
        assert_eq!(entry.types, [Type::String, Type::String]);
    }
}

#[test]
fn results_with_error_codes_of_0_2_lie_where_the_bindings_read_them() {
    let types = Types::of("wasi-0.2.wit");
    let sent = types.function("outgoing-handler", "handle").result;
    let sent = sent.expect("a result");
    let finished = types.result("[static]outgoing-body.finish");
    let code = types.result("http-error-code");
    for result in [sent, finished, code] {
        assert_eq!(types.size(result), p2::CODE_RESULT);
        assert_eq!(types.case(result, 1).0, p2::CODE_VALUE);
    }
    let (place, handle) = types.value(sent, 0);
    assert_eq!(place, p2::CODE_VALUE);
    assert!(types.is_handle(handle));
}

#[test]
fn futures_of_0_2_lie_where_the_bindings_read_them() {
    let types = Types::of("wasi-0.2.wit");
    let response = types.result("[method]future-incoming-response.get");
    let trailers = types.result("[method]future-trailers.get");
    let value = |result: Type| {
        assert_eq!(types.size(result), p2::FUTURE_RESULT);
        let (taken, outer) = types.value(result, 1);
        assert_eq!(taken, p2::FUTURE_TAKEN);
        let (place, inner) = types.value(outer, 0);
        assert_eq!(taken + place, p2::FUTURE_CASE);
        let (place, value) = types.value(inner, 0);
        assert_eq!(p2::FUTURE_CASE + place, p2::FUTURE_VALUE);
        assert_eq!(types.case(inner, 1).0, place);
        value
    };
    assert!(types.is_handle(value(response)));
    assert!(types.is_trailers(value(trailers)));
}

#[test]
fn fields_result_of_0_3_lies_where_the_bindings_read_it() {
    let types = Types::of("wasi-0.3.wit");
    let result = types.result("[static]fields.from-list");
    assert_eq!(types.size(result), p3::FIELDS_RESULT);
    let (place, error) = types.value(result, 1);
    assert_eq!(place, p3::FIELDS_HANDLE);
    assert_eq!(types.only_text(error, place), p3::HEADER_TEXT);
}

#[test]
fn time_outs_result_of_0_3_lies_where_the_bindings_read_it() {
    let types = Types::of("wasi-0.3.wit");
    for time in ["connect", "first-byte", "between-bytes"] {
        let result = types.result(&format!("[method]request-options.set-{time}-timeout"));
        assert_eq!(types.size(result), p3::OPTIONS_RESULT);
        let (place, error) = types.value(result, 1);
        assert_eq!(place, p3::OPTIONS_ERROR);
        assert_eq!(types.only_text(error, place), p3::OPTIONS_TEXT);
    }
}

#[test]
fn results_with_error_codes_of_0_3_lie_where_the_bindings_read_and_write_them() {
    let types = Types::of("wasi-0.3.wit");
    let new = types.function("types", "[static]response.new");
    let trailers = types.future(new.params.last().expect("trailers").ty);
    let TypeDefKind::Tuple(made) = types.kind(new.result.expect("a result")) else {
        panic!("a response comes alone");
    };
    let outcome = types.future(made.types[1]);
    let sent = types.function("client", "send").result.expect("a result");
    for result in [trailers, outcome, sent] {
        assert_eq!(types.size(result), p3::CODE_RESULT);
        assert_eq!(types.case(result, 1).0, p3::CODE_VALUE);
    }
    let (place, option) = types.value(trailers, 0);
    assert_eq!(place, p3::CODE_VALUE);
    assert_eq!(p3::TRAILERS_HANDLE, place + 4);
    assert!(types.is_trailers(option));
    let (place, response) = types.value(sent, 0);
    assert_eq!(place, p3::CODE_VALUE);
    assert!(types.is_handle(response));
}

#[test]
fn requests_of_0_3_take_the_streams_and_futures_that_responses_do() {
    let types = Types::of("wasi-0.3.wit");
    let shapes = |name: &str, place: usize| {
        let function = types.function("types", name);
        let params = &function.params[place..place + 2];
        let params = params.iter().map(|it| shape(&types, it.ty));
        params.collect::<Vec<String>>()
    };
    assert_eq!(
        shapes("[static]request.new", 1),
        shapes("[static]response.new", 1)
    );
}

/// A type in words, which two types share that are the same but for their names.
fn shape(types: &Types, of: Type) -> String {
    if !matches!(of, Type::Id(_)) {
        return format!("{of:?}");
    }
    let inner = |of: &Option<Type>| of.map_or_else(|| "_".to_owned(), |of| shape(types, of));
    match types.kind(of) {
        TypeDefKind::Option(some) => format!("option<{}>", shape(types, *some)),
        TypeDefKind::Stream(element) => format!("stream<{}>", inner(element)),
        TypeDefKind::Future(value) => format!("future<{}>", inner(value)),
        TypeDefKind::Result(it) => format!("result<{}, {}>", inner(&it.ok), inner(&it.err)),
        other => format!("{other:?}"),
    }
}
