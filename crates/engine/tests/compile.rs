//! The compiler: real processes, real components, and every way that a process can end.

// A test that can't go on has failed.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use everwarm_engine::artifact::{CompiledArtifacts, Fingerprint};
use everwarm_engine::compile::{
    CompileError, CompileJob, CompileLimits, Compiled, Compiler, CompilerCommand, IncrementalDir,
    compiler_main,
};
use everwarm_engine::config::{self, Purpose};
use everwarm_engine::inspect::{InspectLimits, inspect};
use everwarm_manifest::{Digest, World};
use secrecy::SecretBox;
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;

/// How long a condition that must come true is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

/// The compiler process that the other tests start; does nothing when the suite runs it.
#[test]
fn compiler_process_for_other_tests() {
    if std::env::var_os("EVERWARM_TEST_COMPILER").is_some() {
        let _ = compiler_main();
        std::process::exit(0);
    }
}

/// This test binary again, as a compiler.
fn real_compiler() -> CompilerCommand {
    let exe = std::env::current_exe().unwrap();
    let words = ["--exact", "compiler_process_for_other_tests", "--nocapture"];
    CompilerCommand {
        program: "/usr/bin/env".into(),
        args: ["EVERWARM_TEST_COMPILER=1".into(), exe.into_os_string()]
            .into_iter()
            .chain(words.map(Into::into))
            .collect(),
    }
}

/// A stand-in for a compiler that ends in a way that a real one can't be made to.
fn shell(script: &str) -> CompilerCommand {
    CompilerCommand {
        program: "/bin/sh".into(),
        args: vec!["-c".into(), script.into()],
    }
}

struct Bench {
    dir: tempfile::TempDir,
    component: Digest,
    path: PathBuf,
    world: World,
    engine: Engine,
    fingerprint: Fingerprint,
}

impl Bench {
    fn with_bytes(world: World, bytes: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("component.wasm");
        fs::write(&path, bytes).unwrap();
        let engine = config::engine(world, Purpose::Compile).unwrap();
        let fingerprint = Fingerprint::of(&engine);
        Self {
            component: Digest::from_bytes(Sha256::digest(bytes).into()),
            dir,
            path,
            world,
            engine,
            fingerprint,
        }
    }

    fn new(text: &str) -> Self {
        Self::with_bytes(World::Wasi02, &wat::parse_str(text).unwrap())
    }

    fn job(&self) -> CompileJob<'_> {
        CompileJob {
            path: &self.path,
            component: self.component,
            world: self.world,
            fingerprint: &self.fingerprint,
            incremental: None,
        }
    }

    async fn compile(&self, command: CompilerCommand) -> Result<Compiled, CompileError> {
        self.compile_within(command, CompileLimits::default()).await
    }

    async fn compile_within(
        &self,
        command: CompilerCommand,
        limits: CompileLimits,
    ) -> Result<Compiled, CompileError> {
        let output = self.dir.path().join("code");
        fs::write(&output, "").unwrap();
        Compiler::new(command, limits)
            .compile(self.job(), &output)
            .await
    }
}

/// A component of so many functions of so many additions each; `seed` makes them differ.
fn component_of(functions: usize, additions: usize, seed: i64) -> String {
    let mut text = String::from("(component (core module\n");
    for function in 0..functions {
        let first = seed + i64::try_from(function).unwrap();
        writeln!(
            text,
            "(func (param i64) (result i64) local.get 0 i64.const {first} i64.add"
        )
        .unwrap();
        for addition in 0..additions {
            let constant = addition * 7 + 1;
            writeln!(text, "local.get 0 i64.const {constant} i64.mul i64.xor").unwrap();
        }
        text.push_str(")\n");
    }
    text.push_str("))");
    text
}

#[tokio::test]
async fn component_of_either_world_compiles_and_its_code_maps() {
    let bytes = wat::parse_str(component_of(3, 10, 0)).unwrap();
    for world in [World::Wasi02, World::Wasi03] {
        let bench = Bench::with_bytes(world, &bytes);
        let key = SecretBox::new(Box::new([1; 32]));
        let root = bench.dir.path().join("compiled");
        let artifacts = CompiledArtifacts::open_dir(root, &key).unwrap();
        let output = artifacts.incoming().unwrap();
        let compiler = Compiler::new(real_compiler(), CompileLimits::default());
        let ended = compiler.compile(bench.job(), output.path()).await.unwrap();
        artifacts
            .record(bench.component, &bench.fingerprint, output)
            .unwrap();
        let mapped = artifacts
            .load(bench.component, &bench.fingerprint, &bench.engine)
            .unwrap();
        assert_eq!(mapped.bytes, ended.code_bytes);
    }
}

#[tokio::test]
async fn invalid_component_is_told_what_is_wrong_with_it() {
    // Its structure is right: only the compiler looks at the function.
    let bytes =
        wat::parse_str("(component (core module (func (result i32) i64.const 1)))").unwrap();
    let bench = Bench::with_bytes(World::Wasi02, &bytes);
    let error = bench.compile(real_compiler()).await.unwrap_err();
    assert_eq!(error.code(), "EW2006");
    assert!(error.to_string().contains("type mismatch"), "{error}");
}

#[tokio::test]
async fn feature_that_the_engine_lacks_is_an_invalid_component() {
    let text = "(component (core module (memory 1 1 shared)))";
    let error = Bench::new(text).compile(real_compiler()).await.unwrap_err();
    assert_eq!(error.code(), "EW2006");
    assert!(error.to_string().contains("threads"), "{error}");
}

#[tokio::test]
async fn bytes_that_are_not_the_named_ones_are_never_compiled() {
    let mut bench = Bench::new(&component_of(1, 1, 0));
    bench.component = Digest::from_bytes([7; Digest::BYTES]);
    let error = bench.compile(real_compiler()).await.unwrap_err();
    assert!(matches!(error, CompileError::Failed { .. }), "{error}");
    assert_eq!(
        fs::metadata(bench.dir.path().join("code")).unwrap().len(),
        0
    );
}

#[tokio::test]
async fn code_for_another_engine_than_the_parents_is_never_made() {
    let mut bench = Bench::new(&component_of(1, 1, 0));
    bench.world = World::Wasi03;
    let error = bench.compile(real_compiler()).await.unwrap_err();
    assert_eq!(error.code(), "EW2012");
    assert!(error.to_string().contains("another engine"), "{error}");
}

#[tokio::test]
async fn component_that_takes_too_much_cpu_time_is_stopped() {
    let bench = Bench::new(&component_of(2, 400_000, 0));
    let limits = CompileLimits {
        cpu_time_s_max: 1,
        ..CompileLimits::default()
    };
    let error = bench
        .compile_within(real_compiler(), limits)
        .await
        .unwrap_err();
    assert_eq!(error.code(), "EW2005");
    assert!(error.to_string().contains("1 s of CPU time"), "{error}");
}

#[tokio::test]
async fn component_that_takes_too_much_memory_is_stopped() {
    let bench = Bench::new(&component_of(2, 400_000, 0));
    let limits = CompileLimits {
        memory_bytes_max: 320 << 20,
        ..CompileLimits::default()
    };
    let error = bench
        .compile_within(real_compiler(), limits)
        .await
        .unwrap_err();
    assert!(
        matches!(error, CompileError::TooMuchMemory { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("320 MiB"), "{error}");
}

#[tokio::test]
async fn component_is_read_in_a_process_as_it_is_here() {
    let handler =
        "(component (instance $i) (export \"wasi:http/incoming-handler@0.2.3\" (instance $i)))";
    let limits = InspectLimits::default();
    for bytes in [
        wat::parse_str(handler).unwrap(),
        wat::parse_str("(component)").unwrap(),
        wat::parse_str("(module)").unwrap(),
        b"this is no component".to_vec(),
        wat::parse_str(handler).unwrap()[..20].to_vec(),
    ] {
        let bench = Bench::with_bytes(World::Wasi02, &bytes);
        let compiler = Compiler::new(real_compiler(), CompileLimits::default());
        let found = compiler.inspect(&bench.path, bench.component, limits);
        let found = found.await.unwrap().map_err(|error| error.to_string());
        let here = inspect(&bytes, limits).map_err(|error| error.to_string());
        assert_eq!(found, here);
    }
}

#[tokio::test]
async fn component_that_takes_too_long_to_read_is_stopped() {
    let bench = Bench::new(&component_of(2, 400_000, 0));
    let limits = CompileLimits {
        // Less than a process takes to start.
        wall_time_ms_max: 1,
        ..CompileLimits::default()
    };
    let compiler = Compiler::new(real_compiler(), limits);
    let found = compiler.inspect(&bench.path, bench.component, InspectLimits::default());
    let error = found.await.unwrap_err();
    assert_eq!(error.code(), "EW2005");
    assert!(error.to_string().contains("to check"), "{error}");
    // Other bytes than the ones that were meant are never read.
    fs::write(&bench.path, "other").unwrap();
    let compiler = Compiler::new(real_compiler(), CompileLimits::default());
    let found = compiler.inspect(&bench.path, bench.component, InspectLimits::default());
    assert!(found.await.unwrap_err().to_string().contains("name says"));
}

#[tokio::test]
async fn process_that_hangs_is_killed_at_the_deadline() {
    let bench = Bench::new("(component)");
    let pid_file = bench.dir.path().join("pid");
    let limits = CompileLimits {
        wall_time_ms_max: 1_500,
        ..CompileLimits::default()
    };
    let command = shell(&format!(
        "echo $$ > {}; exec sleep 1000",
        pid_file.display()
    ));
    let error = bench.compile_within(command, limits).await.unwrap_err();
    assert!(matches!(error, CompileError::TooLong { .. }), "{error}");
    assert_eq!(error.code(), "EW2005");
    assert!(!is_alive(read_pid(&pid_file).unwrap()));
}

#[tokio::test]
async fn process_is_killed_when_nobody_waits_for_it_any_more() {
    let bench = Bench::new("(component)");
    let pid_file = bench.dir.path().join("pid");
    let command = shell(&format!(
        "echo $$ > {}; exec sleep 1000",
        pid_file.display()
    ));
    let pid = tokio::select! {
        ended = bench.compile(command) => panic!("it sleeps, and yet: {ended:?}"),
        pid = until(|| read_pid(&pid_file)) => pid,
    };
    until(|| (!is_alive(pid)).then_some(())).await;
}

#[tokio::test]
async fn process_that_dies_is_told_by_its_status_and_last_words() {
    let bench = Bench::new("(component)");
    for (script, words) in [
        ("echo oh no >&2; exit 7", ["oh no", "exit status: 7"]),
        ("kill -SEGV $$", ["signal: 11", "died"]),
        ("exit 0", ["exit status: 0", "died"]),
        ("echo everwarm-outcome nonsense", ["exit status: 0", "died"]),
    ] {
        let error = bench.compile(shell(script)).await.unwrap_err();
        assert_eq!(error.code(), "EW2012");
        let text = error.to_string();
        assert!(
            words.iter().all(|word| text.contains(word)),
            "{script}: {text}"
        );
    }
}

#[tokio::test]
async fn process_that_floods_its_output_is_not_waited_for_and_little_is_kept() {
    let bench = Bench::new("(component)");
    let script = "yes | head -c 5000000; yes | head -c 5000000 >&2; exit 1";
    let error = bench.compile(shell(script)).await.unwrap_err();
    assert!(matches!(error, CompileError::Died { .. }));
    assert!(error.to_string().len() < 10_000);
}

#[tokio::test]
async fn program_that_is_not_there_is_named() {
    let command = CompilerCommand {
        program: "/no/such/program".into(),
        args: vec![],
    };
    let error = Bench::new("(component)")
        .compile(command)
        .await
        .unwrap_err();
    assert_eq!(error.code(), "EW2012");
    assert!(error.to_string().contains("/no/such/program"), "{error}");
}

#[tokio::test]
async fn nothing_of_the_nodes_environment_reaches_the_compiler() {
    let error = Bench::new("(component)")
        .compile(shell("env >&2; exit 1"))
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(text.contains("RAYON_NUM_THREADS"), "{text}");
    for (name, _) in std::env::vars_os() {
        let name = name.into_string().unwrap();
        // The shell makes these itself.
        if !["PWD", "OLDPWD", "SHLVL", "_"].contains(&name.as_str()) {
            assert!(
                !text.contains(&format!("\n{name}=")),
                "{name} reached the compiler"
            );
        }
    }
}

#[tokio::test]
async fn no_more_processes_run_at_once_than_allowed() {
    let bench = Bench::new("(component)");
    let lock = bench.dir.path().join("only-one");
    let script = format!(
        "mkdir {0} || exit 9; sleep 0.05; rmdir {0}; exit 1",
        lock.display()
    );
    let limits = CompileLimits {
        parallel_max: NonZeroUsize::MIN,
        ..CompileLimits::default()
    };
    let compiler = Compiler::new(shell(&script), limits);
    let output = bench.dir.path().join("code");
    let one = || compiler.compile(bench.job(), &output);
    let (a, b, c) = tokio::join!(one(), one(), one());
    for error in [a, b, c].map(Result::unwrap_err) {
        assert!(error.to_string().contains("exit status: 1"), "{error}");
    }
}

#[test]
fn child_ends_when_its_parent_has_gone() {
    let command = real_compiler();
    // A parent that goes before it gave a job, and one that goes in the middle.
    let bench = Bench::new(&component_of(2, 400_000, 0));
    let job = format!(
        "{{\"component_path\":{:?},\"component\":\"{}\",\"limits\":{{\"memory_bytes_max\":8589934592,\
         \"cpu_time_s_max\":100}},\"task\":{{\"Compile\":{{\"world\":\"wasi-0.2\",\"fingerprint\":\"{}\",\
         \"output_path\":\"/dev/null\",\"incremental\":null}}}}}}\n",
        bench.path,
        bench.component,
        bench.fingerprint.as_str()
    );
    for (line, expected) in [("", "read its job"), (&job, "")] {
        let mut child = Command::new(&command.program)
            .args(&command.args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(line.as_bytes())
            .unwrap();
        let ended = child.wait_with_output().unwrap();
        let stdout = String::from_utf8_lossy(&ended.stdout);
        assert!(stdout.contains(expected), "{stdout}");
        assert!(!stdout.contains("Compiled"), "{stdout}");
        if expected.is_empty() {
            assert_eq!(ended.status.code(), Some(3));
        }
    }
}

async fn compile_with_cache(bench: &Bench, dir: &Path, key: u8) -> (Compiled, Vec<u8>) {
    let key = SecretBox::new(Box::new([key; 32]));
    let job = CompileJob {
        incremental: Some(IncrementalDir { dir, key: &key }),
        ..bench.job()
    };
    let output = bench.dir.path().join("code");
    let compiler = Compiler::new(real_compiler(), CompileLimits::default());
    let ended = compiler.compile(job, &output).await.unwrap();
    (ended, fs::read(output).unwrap())
}

#[tokio::test]
async fn functions_that_did_not_change_are_found_in_the_incremental_cache() {
    let cache = tempfile::tempdir().unwrap();
    let before = Bench::new(&component_of(20, 10, 0));
    let (first, code) = compile_with_cache(&before, cache.path(), 1).await;
    assert_eq!(first.reuse.hits, 0);
    assert!(first.reuse.looked_up >= 20);
    let (again, code_again) = compile_with_cache(&before, cache.path(), 1).await;
    assert_eq!(again.reuse.hits, first.reuse.looked_up);
    assert!(
        code == code_again,
        "the cache changes how fast code is made, never the code"
    );
    // Of functions that count up from 5 instead of 0, fifteen are the same.
    let after = Bench::new(&component_of(20, 10, 5));
    let (changed, _) = compile_with_cache(&after, cache.path(), 1).await;
    assert!(changed.reuse.hits >= 15 && changed.reuse.hits < changed.reuse.looked_up);
}

#[tokio::test]
async fn cache_of_another_key_or_forged_is_not_used_and_does_no_harm() {
    let cache = tempfile::tempdir().unwrap();
    let bench = Bench::new(&component_of(20, 10, 0));
    let (_, code) = compile_with_cache(&bench, cache.path(), 1).await;
    let (other_key, _) = compile_with_cache(&bench, cache.path(), 2).await;
    assert_eq!(other_key.reuse.hits, 0);

    let file = cache.path().join("incremental.cache");
    let mut bytes = fs::read(&file).unwrap();
    // Every value is touched: entries are longer than the step.
    for byte in bytes.iter_mut().skip(100).step_by(64) {
        *byte ^= 1;
    }
    fs::write(&file, bytes).unwrap();
    let (forged, code_forged) = compile_with_cache(&bench, cache.path(), 1).await;
    assert_eq!(forged.reuse.hits, 0);
    assert!(code == code_forged);
}

fn read_pid(path: &Path) -> Option<i32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn is_alive(pid: i32) -> bool {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::test_kill_process(pid).is_ok()
}

async fn until<T>(mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(started.elapsed() < PATIENCE, "it never came true");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
