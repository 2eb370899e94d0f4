//! Commands: a name, and arguments, which are bytes to Redis.

/// A command's name and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command(pub(crate) Vec<Vec<u8>>);

impl Command {
    /// A command without arguments yet.
    pub fn new(name: &str) -> Self {
        Self(vec![name.as_bytes().to_vec()])
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Argument) -> Self {
        self.0.push(argument.into_bytes());
        self
    }
}

/// What may be an argument: text, bytes and numbers.
pub trait Argument {
    /// As Redis has it.
    fn into_bytes(self) -> Vec<u8>;
}

impl Argument for &str {
    fn into_bytes(self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }
}

impl Argument for String {
    fn into_bytes(self) -> Vec<u8> {
        Self::into_bytes(self)
    }
}

impl Argument for &[u8] {
    fn into_bytes(self) -> Vec<u8> {
        self.to_vec()
    }
}

impl Argument for Vec<u8> {
    fn into_bytes(self) -> Vec<u8> {
        self
    }
}

macro_rules! number {
    ($($number:ty),*) => {$(
        impl Argument for $number {
            fn into_bytes(self) -> Vec<u8> {
                self.to_string().into_bytes()
            }
        }
    )*};
}

number!(i32, i64, u32, u64, usize, f64);
