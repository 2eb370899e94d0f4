//! The resident set: bounded by bytes, least recently used out first, loaded once however many ask.

#![allow(clippy::unwrap_used, reason = "a test that can't go on panics")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use everwarm_engine::artifact::CompiledArtifacts;
use everwarm_engine::capability::Capabilities;
use everwarm_engine::config::{PoolSize, Purpose, engine};
use everwarm_engine::function::FunctionSpec;
use everwarm_engine::resident::{FunctionKey, LoadError, ResidentSet, Slot, StartLevel};
use everwarm_engine::runtime::{Runtime, RuntimeSettings};
use everwarm_manifest::{App, Digest, Grants, TenantId, World};
use futures_util::future::join_all;
use secrecy::SecretBox;
use tokio::sync::mpsc;

/// A guest that imports nothing but `wasi:io` and `wasi:http`, so that no capability is needed.
const COMPONENT: &str = r#"
    (component
      (import "wasi:io/error@0.2.0" (instance $error (export "error" (type (sub resource)))))
      (alias export $error "error" (type $error_type))
      (import "wasi:io/poll@0.2.0" (instance $poll (export "pollable" (type (sub resource)))))
      (import "wasi:http/types@0.2.0" (instance $types
        (export "incoming-request" (type (sub resource)))
        (export "response-outparam" (type (sub resource)))))
      (alias export $types "incoming-request" (type $request))
      (alias export $types "response-outparam" (type $outparam))
      (core module $guest (func (export "handle") (param i32 i32)))
      (core instance $instance (instantiate $guest))
      (func $handle (param "request" (own $request)) (param "response-out" (own $outparam))
        (canon lift (core func $instance "handle")))
      (component $shape
        (import "import-request" (type $request (sub resource)))
        (import "import-outparam" (type $outparam (sub resource)))
        (import "import-handle"
          (func $handle (param "request" (own $request)) (param "response-out" (own $outparam))))
        (export $exported-request "incoming-request" (type $request))
        (export $exported-outparam "response-outparam" (type $outparam))
        (export "handle" (func $handle)
          (func (param "request" (own $exported-request))
                (param "response-out" (own $exported-outparam)))))
      (instance $handler (instantiate $shape
        (with "import-request" (type $request))
        (with "import-outparam" (type $outparam))
        (with "import-handle" (func $handle))))
      (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))
"#;

struct Bench {
    set: ResidentSet,
    missing: mpsc::Receiver<Arc<FunctionSpec>>,
    component: Digest,
    code_bytes: u64,
    /// Uses so far: one a second.
    uses: AtomicU64,
    _folder: tempfile::TempDir,
}

/// A set with room for `functions` of them and a half.
fn bench(functions: u64) -> Bench {
    let settings = RuntimeSettings {
        pool: PoolSize { instances_max: 10 },
        heavy_threads: 1,
    };
    let runtime = Arc::new(Runtime::new(settings, Capabilities::new(Vec::new())).unwrap());
    let bytes = wat::parse_str(COMPONENT).unwrap();
    let code = engine(World::Wasi02, Purpose::Compile)
        .unwrap()
        .precompile_component(&bytes)
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let key = SecretBox::new(Box::new([7; 32]));
    let compiled_dir = PathBuf::from(folder.path()).join("compiled");
    let compiled = CompiledArtifacts::open_dir(compiled_dir, &key).unwrap();
    let component = Digest::from_bytes([1; Digest::BYTES]);
    let mut file = compiled.incoming().unwrap();
    file.write_all(&code).unwrap();
    compiled
        .record(component, runtime.fingerprint(World::Wasi02), file)
        .unwrap();
    let code_bytes = code.len() as u64;
    let room = functions * code_bytes + code_bytes / 2;
    let (report_missing, missing) = mpsc::channel(1);
    Bench {
        set: ResidentSet::new(runtime, Arc::new(compiled), room, report_missing),
        missing,
        component,
        code_bytes,
        uses: AtomicU64::new(0),
        _folder: folder,
    }
}

impl Bench {
    fn slot(&self, version: &str, component: Digest) -> Arc<Slot> {
        let app = App::parse("name = \"a\"\n[[function]]\n", "everwarm.toml").unwrap();
        let function = &app.functions[0];
        self.set.slot(Arc::new(FunctionSpec {
            tenant: TenantId::default_tenant(),
            app: app.name.clone(),
            name: function.name.clone(),
            version: version.into(),
            component,
            world: World::Wasi02,
            isolation: function.isolation,
            compress: function.compress,
            cache: None,
            server_timing: function.server_timing,
            limits: function.limits,
            env: BTreeMap::new(),
            config: BTreeMap::new(),
            databases: Vec::new(),
            redis: Vec::new(),
            files: None,
            grants: Grants::default(),
        }))
    }

    fn now(&self) -> Instant {
        Instant::now() + Duration::from_secs(self.uses.fetch_add(1, Ordering::Relaxed))
    }

    async fn level(&self, version: &str) -> StartLevel {
        self.set
            .get(&self.slot(version, self.component), self.now())
            .await
            .unwrap()
            .1
    }
}

#[tokio::test]
async fn least_recently_used_function_leaves_when_there_is_no_more_room() {
    let bench = bench(2);
    assert_eq!(bench.level("one").await, StartLevel::Disk);
    assert_eq!(bench.level("two").await, StartLevel::Disk);
    assert_eq!(bench.level("one").await, StartLevel::Warm);
    assert_eq!(bench.level("three").await, StartLevel::Disk);
    assert_eq!(bench.set.bytes(), 2 * bench.code_bytes);
    assert_eq!(bench.level("one").await, StartLevel::Warm);
    assert_eq!(bench.level("two").await, StartLevel::Disk);
}

#[tokio::test]
async fn however_many_ask_at_once_a_function_is_loaded_once() {
    let bench = bench(10);
    let slot = bench.slot("one", bench.component);
    let loaded = join_all((0..16).map(|_| bench.set.get(&slot, bench.now()))).await;
    let functions: Vec<_> = loaded.into_iter().map(|loaded| loaded.unwrap().0).collect();
    assert!(
        functions
            .iter()
            .all(|function| Arc::ptr_eq(function, &functions[0]))
    );
    assert_eq!(bench.set.bytes(), bench.code_bytes);
}

#[tokio::test]
async fn function_without_compiled_code_is_an_error_and_reported() {
    let mut bench = bench(10);
    let slot = bench.slot("one", Digest::from_bytes([9; Digest::BYTES]));
    let error = bench.set.get(&slot, bench.now()).await.unwrap_err();
    assert!(matches!(error, LoadError::NotCompiled(_)), "{error}");
    assert_eq!(bench.set.bytes(), 0);
    // The second one finds the report of the first in the queue, which has room for one.
    bench.set.get(&slot, bench.now()).await.unwrap_err();
    assert_eq!(
        bench.missing.try_recv().unwrap().component,
        slot.spec().component
    );
    assert!(bench.missing.try_recv().is_err());
}

#[tokio::test]
async fn forgotten_functions_give_their_room_back() {
    let bench = bench(10);
    bench.level("one").await;
    bench.level("two").await;
    let one = bench.slot("one", bench.component);
    bench.set.forget([&FunctionKey::of(one.spec())]);
    assert_eq!(bench.set.bytes(), bench.code_bytes);
    assert_eq!(bench.level("two").await, StartLevel::Warm);
}
