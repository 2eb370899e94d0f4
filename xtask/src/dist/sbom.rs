//! What the binary is made of, as CycloneDX (ECMA-424) has it: the crates that cargo resolves for it on this platform,
//! with versions, licences, checksums, and who depends on whom. <https://cyclonedx.org>

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use serde_json::{Value, json};

use crate::steps;

/// The package whose binary ships.
const PACKAGE: &str = "everwarm";

/// What cargo says of the packages.
#[derive(Debug)]
pub(super) struct Metadata {
    /// By cargo's own id.
    packages: BTreeMap<String, Package>,
    root: String,
    /// By name and version, from the lock file.
    checksums: BTreeMap<(String, String), String>,
}

#[derive(Debug)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    dependencies: BTreeSet<String>,
}

impl Metadata {
    /// Asks cargo, and reads the lock file.
    pub(super) fn read(host: &str) -> anyhow::Result<Self> {
        let mut cargo = steps::cargo();
        cargo.args([
            "metadata",
            "--format-version=1",
            "--locked",
            "--filter-platform",
            host,
        ]);
        let metadata: Value = serde_json::from_str(&steps::read(&mut cargo)?)
            .context("`cargo metadata` printed something that is not JSON")?;
        let lock = std::fs::read_to_string(steps::root().join("Cargo.lock"));
        let lock: toml::Table = lock.context("could not read Cargo.lock")?.parse()?;
        Self::of(&metadata, &lock)
    }

    fn of(metadata: &Value, lock: &toml::Table) -> anyhow::Result<Self> {
        let mut packages = BTreeMap::new();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        for package in metadata["packages"].as_array().into_iter().flatten() {
            packages.insert(
                text(&package["id"]),
                Package {
                    name: text(&package["name"]),
                    version: text(&package["version"]),
                    license: package["license"].as_str().map(ToOwned::to_owned),
                    dependencies: BTreeSet::new(),
                },
            );
        }
        for node in metadata["resolve"]["nodes"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let Some(package) = packages.get_mut(&text(&node["id"])) else {
                continue;
            };
            for dependency in node["deps"].as_array().into_iter().flatten() {
                // What is linked in: neither what builds it nor what tests it.
                let mut kinds = dependency["dep_kinds"].as_array().into_iter().flatten();
                if kinds.any(|kind| kind["kind"].is_null()) {
                    package.dependencies.insert(text(&dependency["pkg"]));
                }
            }
        }
        let root = packages.iter().find(|(_, package)| package.name == PACKAGE);
        let root = root.context("cargo knows no package that ships")?.0.clone();
        let mut checksums = BTreeMap::new();
        for package in lock
            .get("package")
            .and_then(toml::Value::as_array)
            .into_iter()
            .flatten()
        {
            let field = |name: &str| {
                package
                    .get(name)
                    .and_then(toml::Value::as_str)
                    .map(ToOwned::to_owned)
            };
            if let (Some(name), Some(version), Some(sum)) =
                (field("name"), field("version"), field("checksum"))
            {
                checksums.insert((name, version), sum);
            }
        }
        Ok(Self {
            packages,
            root,
            checksums,
        })
    }

    /// The version of what ships.
    pub(super) fn version(&self) -> anyhow::Result<&str> {
        let root = self.packages.get(&self.root);
        Ok(&root.context("cargo knows no package that ships")?.version)
    }

    /// The document.
    pub(super) fn sbom(&self) -> anyhow::Result<Vec<u8>> {
        let linked = self.linked();
        let mut components = Vec::new();
        let mut dependencies = Vec::new();
        for id in &linked {
            let package = &self.packages[*id];
            let needed = package.dependencies.iter();
            let needed = needed.filter_map(|id| Some(self.packages.get(id)?.reference()));
            dependencies.push(json!({
                "ref": package.reference(),
                "dependsOn": needed.collect::<Vec<_>>(),
            }));
            if **id != self.root {
                components.push(self.component(package, "library"));
            }
        }
        let bom = json!({
            "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
            "bomFormat": "CycloneDX",
            "specVersion": "1.5",
            // No serial number: random, it would make each archive another one.
            "version": 1,
            "metadata": {"component": self.component(&self.packages[&self.root], "application")},
            "components": components,
            "dependencies": dependencies,
        });
        let mut json = serde_json::to_vec_pretty(&bom)?;
        json.push(b'\n');
        Ok(json)
    }

    /// The package that ships, and all that it links.
    fn linked(&self) -> BTreeSet<&String> {
        let mut linked = BTreeSet::new();
        let mut waiting = vec![&self.root];
        while let Some(id) = waiting.pop() {
            if linked.insert(id)
                && let Some(package) = self.packages.get(id)
            {
                waiting.extend(&package.dependencies);
            }
        }
        linked
    }

    /// A component, in the specification's words (section "components").
    fn component(&self, package: &Package, kind: &str) -> Value {
        let Package {
            name,
            version,
            license,
            ..
        } = package;
        let mut component = json!({
            "type": kind,
            "bom-ref": package.reference(),
            "name": name,
            "version": version,
            // Names and versions of crates have no character that a package URL would have to escape but `+`.
            "purl": format!("pkg:cargo/{name}@{}", version.replace('+', "%2B")),
        });
        if let Some(license) = license {
            // Old manifests have `MIT/Apache-2.0` for what SPDX calls OR.
            component["licenses"] = json!([{"expression": license.replace('/', " OR ")}]);
        }
        if let Some(sum) = self.checksums.get(&(name.clone(), version.clone())) {
            component["hashes"] = json!([{"alg": "SHA-256", "content": sum}]);
        }
        component
    }
}

impl Package {
    fn reference(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }
}
