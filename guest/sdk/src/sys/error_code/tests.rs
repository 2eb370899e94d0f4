//! Every case, laid out in memory by the component toolchain's own numbers and read back.

use std::path::Path;

use wit_parser::{Int, Resolve, SizeAlign, Type, TypeDefKind, Variant};

use super::{ERROR_CODE_SIZE, ErrorCode, INTERNAL_ERROR, RESPONSE_INCOMPLETE, text_in};
use crate::client::CASES;

/// Where the WIT is: this crate's own, and what the host implements.
const WITS: [&str; 4] = [
    "wit/wasi-0.2.wit",
    "wit/wasi-0.3.wit",
    "../../wit/wasi-0.2",
    "../../wit/wasi-0.3",
];

/// The text's start and length, and the number.
const START: u32 = 0x0102_0304;
const LEN: u32 = 0x0506_0708;
const NUMBER: u64 = 0x1112_1314_1516_1718;

/// A WIT, and where the parts of its types lie.
struct Wit {
    resolve: Resolve,
    sizes: SizeAlign,
}

/// What was written into an area.
#[derive(Default)]
struct Written {
    has_text: bool,
    number: Option<u64>,
}

impl Wit {
    fn read(path: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let mut resolve = Resolve::default();
        if path.is_dir() {
            resolve.push_dir(&path).expect("valid WIT");
        } else {
            resolve.push_file(&path).expect("valid WIT");
        }
        let mut sizes = SizeAlign::default();
        sizes.fill(&resolve);
        Self { resolve, sizes }
    }

    fn error_code(&self) -> (Type, &Variant) {
        let mut packages = self.resolve.packages.iter();
        let http = packages.find(|(_, package)| package.name.name == "http");
        let types = http.expect("a package called http").1.interfaces["types"];
        let ty = Type::Id(self.resolve.interfaces[types].types["error-code"]);
        let TypeDefKind::Variant(variant) = self.kind(ty) else {
            panic!("error-code is no variant");
        };
        (ty, variant)
    }

    fn kind(&self, ty: Type) -> &TypeDefKind {
        let Type::Id(id) = ty else {
            panic!("{ty:?} has no parts");
        };
        match &self.resolve.types[id].kind {
            TypeDefKind::Type(same) => self.kind(*same),
            kind => kind,
        }
    }

    /// Writes a value whose options are all there, or else all absent.
    fn write(&self, ty: Type, area: &mut [u8], place: usize, are_there: bool) -> Written {
        let mut written = Written::default();
        match ty {
            Type::U8 | Type::U16 | Type::U32 | Type::U64 => {
                let len = self.sizes.size(&ty).size_wasm32();
                let bytes = &NUMBER.to_le_bytes()[..len];
                area[place..place + len].copy_from_slice(bytes);
                let mut number = [0; 8];
                number[..len].copy_from_slice(bytes);
                written.number = Some(u64::from_le_bytes(number));
            }
            Type::String => {
                area[place..place + 4].copy_from_slice(&START.to_le_bytes());
                area[place + 4..place + 8].copy_from_slice(&LEN.to_le_bytes());
                written.has_text = true;
            }
            _ => match self.kind(ty) {
                TypeDefKind::Option(inner) if are_there => {
                    area[place] = 1;
                    let offset = self.sizes.payload_offset(Int::U8, [None, Some(inner)]);
                    return self.write(*inner, area, place + offset.size_wasm32(), true);
                }
                TypeDefKind::Option(_) => area[place] = 0,
                TypeDefKind::Record(record) => {
                    let fields = record.fields.iter().map(|field| &field.ty);
                    for (offset, field) in self.sizes.field_offsets(fields) {
                        let place = place + offset.size_wasm32();
                        let inner = self.write(*field, area, place, are_there);
                        assert!(!(inner.has_text && written.has_text), "two texts");
                        written.has_text |= inner.has_text;
                        written.number = written.number.xor(inner.number);
                    }
                }
                other => panic!("no error-code holds {other:?}"),
            },
        }
        written
    }
}

fn check_case(wit: &Wit, variant: &Variant, case: u8, are_there: bool) {
    let name = &variant.cases[usize::from(case)].name;
    // What the case doesn't define may be anything, and the next case's payload first of all.
    let mut area = [1; ERROR_CODE_SIZE];
    area[0] = case;
    let payloads = variant.cases.iter().map(|case| case.ty.as_ref());
    let place = wit.sizes.payload_offset(variant.tag(), payloads);
    let written = match variant.cases[usize::from(case)].ty {
        Some(payload) => wit.write(payload, &mut area, place.size_wasm32(), are_there),
        None => Written::default(),
    };
    let mut taken = Vec::new();
    let read = ErrorCode::read(&area, |start, len| {
        taken.push((start, len));
        "text".to_owned()
    });
    assert_eq!(read.case, case, "{name}");
    assert_eq!(read.number, written.number, "{name}");
    assert_eq!(read.text.is_some(), written.has_text, "{name}");
    let text = (START as usize, LEN as usize);
    let expected = written.has_text.then_some(text);
    assert_eq!(taken, Vec::from_iter(expected), "{name}");
    assert_eq!(text_in(&area), expected, "{name}");
}

#[test]
fn every_case_is_read_from_where_the_toolchain_lays_it() {
    for path in WITS {
        let wit = Wit::read(path);
        let (ty, variant) = wit.error_code();
        assert_eq!(wit.sizes.size(&ty).size_wasm32(), ERROR_CODE_SIZE, "{path}");
        assert_eq!(wit.sizes.align(&ty).align_wasm32(), 8, "{path}");
        assert_eq!(variant.tag(), Int::U8, "{path}");
        for case in 0..u8::try_from(variant.cases.len()).expect("few cases") {
            check_case(&wit, variant, case, true);
            check_case(&wit, variant, case, false);
        }
    }
}

#[test]
fn every_case_has_the_kind_of_its_name() {
    for path in WITS {
        let wit = Wit::read(path);
        let (_, variant) = wit.error_code();
        assert_eq!(variant.cases.len(), CASES.len(), "{path}");
        let name = |case: u8| variant.cases[usize::from(case)].name.as_str();
        assert_eq!(name(INTERNAL_ERROR), "internal-error");
        assert_eq!(name(RESPONSE_INCOMPLETE), "HTTP-response-incomplete");
        for (case, kind) in variant.cases.iter().zip(CASES) {
            let expected = case.name.to_lowercase().replace('-', "");
            assert_eq!(format!("{kind:?}").to_lowercase(), expected, "{path}");
        }
    }
}

#[test]
fn an_unknown_case_carries_nothing() {
    let mut area = [1; ERROR_CODE_SIZE];
    area[0] = u8::MAX;
    let read = ErrorCode::read(&area, |_, _| panic!("there is no text"));
    assert_eq!((read.case, read.text, read.number), (u8::MAX, None, None));
}
