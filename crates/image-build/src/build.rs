//! Carrying a Dockerfile out: one state a stage, one step after another, a layer for each step that changes files.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use oci_image::{Descriptor, Digest, Empty, History, Image, ImageConfig, ImageStore, Manifest, Reference, digest_of, media};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::context::{Tree, clean};
use crate::dockerfile::{self, Args, Copy, Dockerfile, Operation, Stage, Step};
use crate::expand::{expand, words};
use crate::layer::{Layer, LayerWriter, Owner};
use crate::view::View;

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Docker's own: usable without a declaration.
const PREDEFINED_ARGS: [&str; 8] =
    ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "FTP_PROXY", "ftp_proxy", "NO_PROXY", "no_proxy"];

/// What is to be built.
pub struct Build<'a> {
    pub context: &'a Path,
    pub dockerfile: &'a Path,
    pub tags: Vec<Reference>,
    pub args: BTreeMap<String, String>,
    pub target: Option<String>,
    /// A folder for this build alone; removed by the caller.
    pub scratch: &'a Path,
    pub now: Timestamp,
}

#[derive(Debug)]
pub struct Built {
    pub id: Digest,
    pub manifest: Digest,
}

/// A command to run over a stage's files.
pub struct RunRequest<'a> {
    /// Folders, the lowest first.
    pub layers: &'a [PathBuf],
    pub args: Vec<String>,
    pub env: Vec<String>,
    pub working_dir: &'a str,
    pub user: &'a str,
}

/// What a build needs from outside.
pub trait Runner {
    /// An image that may have to be fetched.
    fn image(&mut self, name: &str) -> Result<Arc<Image>, oci_image::Error>;
    /// Runs a command and answers its exit code, or why it could not be started. When it ended well, `keep` is called with the
    /// folder that holds what it changed, in overlayfs' form, before that goes away.
    fn run(&mut self, request: &RunRequest<'_>, keep: &mut dyn FnMut(&Path)) -> Result<i32, String>;
    /// One line of progress: step number, steps in all, its text, and whether its layer was there already.
    fn step(&mut self, number: usize, count: usize, text: &str, cached: bool);
}

pub fn build(store: &ImageStore, build: &Build<'_>, runner: &mut dyn Runner) -> Result<Built, Error> {
    let text = fs::read_to_string(build.dockerfile).map_err(|e| Error::File("read", build.dockerfile.to_owned(), e))?;
    let dockerfile = dockerfile::parse(&text)?;
    let wanted = match &build.target {
        None => dockerfile.stages.len() - 1,
        Some(target) => find_stage(&dockerfile, target)
            .ok_or_else(|| Error::Dockerfile { line: 0, why: format!("target stage `{target}` could not be found") })?,
    };
    let needed = needed(&dockerfile, wanted);
    let _adding = store.adding()?;
    let count = needed.iter().map(|at| dockerfile.stages[*at].steps.len() + 1).sum();
    let mut work = Work { store, build, runner, cache: Cache::load(store), finished: HashMap::new(), number: 0, count };
    for at in needed {
        let state = work.stage(&dockerfile, at)?;
        work.finished.insert(at, state);
    }
    work.cache.save();
    let state = work.finished.remove(&wanted).expect("the wanted stage is needed");
    finish(store, build, state)
}

fn find_stage(dockerfile: &Dockerfile, name: &str) -> Option<usize> {
    let by_name = dockerfile.stages.iter().position(|s| s.name.as_deref().is_some_and(|n| n.eq_ignore_ascii_case(name)));
    by_name.or_else(|| name.parse().ok().filter(|at| *at < dockerfile.stages.len()))
}

/// The wanted stage and those it builds on or copies from, in file order; the others are not built.
fn needed(dockerfile: &Dockerfile, wanted: usize) -> Vec<usize> {
    let mut needed = vec![false; dockerfile.stages.len()];
    needed[wanted] = true;
    for at in (0..=wanted).rev() {
        if !needed[at] {
            continue;
        }
        let stage = &dockerfile.stages[at];
        let froms = stage.steps.iter().filter_map(|s| match &s.operation {
            Operation::Copy(copy) => copy.from.as_deref(),
            _ => None,
        });
        for name in froms.chain([stage.base.as_str()]) {
            if let Some(earlier) = find_stage(dockerfile, name).filter(|earlier| *earlier < at) {
                needed[earlier] = true;
            }
        }
    }
    (0..needed.len()).filter(|at| needed[*at]).collect()
}

/// A stage so far.
#[derive(Clone)]
struct State {
    layers: Vec<Layer>,
    config: ImageConfig,
    args: BTreeMap<String, String>,
    shell: Vec<String>,
    /// Names everything that led here; a step with the same key has the same layer.
    key: String,
    cmd_is_own: bool,
}

impl State {
    fn env(&self) -> Vec<String> {
        self.config.config.env.clone().unwrap_or_default()
    }

    fn variable(&self, name: &str) -> Option<String> {
        let in_env = self.config.config.env.iter().flatten().find_map(|e| e.strip_prefix(name)?.strip_prefix('=').map(str::to_owned));
        in_env.or_else(|| self.args.get(name).cloned())
    }

    fn set_env(&mut self, name: &str, value: &str) {
        let env = self.config.config.env.get_or_insert_default();
        let prefix = format!("{name}=");
        env.retain(|e| !e.starts_with(&prefix));
        env.push(format!("{name}={value}"));
    }

    fn extend_key(&mut self, text: &str) {
        self.key = digest_of(format!("{}\n{text}", self.key).as_bytes()).to_string();
    }
}

struct Work<'a> {
    store: &'a ImageStore,
    build: &'a Build<'a>,
    runner: &'a mut dyn Runner,
    cache: Cache,
    finished: HashMap<usize, State>,
    number: usize,
    count: usize,
}

impl Work<'_> {
    fn stage(&mut self, dockerfile: &Dockerfile, at: usize) -> Result<State, Error> {
        let stage = &dockerfile.stages[at];
        self.tell(&format!("FROM {}", stage.base), false);
        let mut globals = BTreeMap::new();
        for arg in &dockerfile.global_args {
            declare(arg, &mut globals, &self.build.args, &BTreeMap::new()).map_err(|why| Error::Dockerfile { line: stage.line, why })?;
        }
        let mut state = self.base(dockerfile, stage, at, &globals)?;
        for step in &stage.steps {
            self.step(dockerfile, &mut state, step, &globals)?;
        }
        Ok(state)
    }

    fn tell(&mut self, text: &str, cached: bool) {
        self.number += 1;
        self.runner.step(self.number, self.count, text, cached);
    }

    fn base(&mut self, dockerfile: &Dockerfile, stage: &Stage, at: usize, globals: &BTreeMap<String, String>) -> Result<State, Error> {
        let name = expand(&stage.base, &|n| globals.get(n).cloned()).map_err(|why| Error::Dockerfile { line: stage.line, why })?;
        let shell = vec!["/bin/sh".to_owned(), "-c".to_owned()];
        let fresh = |config: ImageConfig, layers: Vec<Layer>, key: String| State {
            layers,
            config,
            args: BTreeMap::new(),
            shell,
            key,
            cmd_is_own: false,
        };
        if let Some(earlier) = find_stage(dockerfile, &name).filter(|earlier| *earlier < at) {
            let base = self.finished[&earlier].clone();
            return Ok(State { args: BTreeMap::new(), cmd_is_own: false, ..base });
        }
        if name == "scratch" {
            let host = oci_image::Platform::host();
            let config = ImageConfig {
                architecture: host.architecture,
                os: host.os,
                rootfs: oci_image::RootFs { kind: "layers".to_owned(), diff_ids: Vec::new() },
                ..ImageConfig::default()
            };
            return Ok(fresh(config, Vec::new(), "scratch".to_owned()));
        }
        let image = self.runner.image(&name)?;
        let manifest = self.store.manifest(&self.store.runnable(&image.manifest)?)?;
        let config = self.store.config(&manifest)?;
        let layers = config.rootfs.diff_ids.iter().zip(manifest.layers).map(|(d, blob)| Layer { diff_id: d.clone(), blob }).collect();
        Ok(fresh(config, layers, image.manifest.to_string()))
    }

    fn step(&mut self, dockerfile: &Dockerfile, state: &mut State, step: &Step, globals: &BTreeMap<String, String>) -> Result<(), Error> {
        let fault = |why: String| Error::Dockerfile { line: step.line, why };
        let word = |state: &State, text: &str| expand(text, &|n| state.variable(n)).map_err(fault);
        let n_layers = state.layers.len();
        let mut cached = false;
        match &step.operation {
            Operation::Arg(text) => declare(text, &mut state.args, &self.build.args, globals).map_err(fault)?,
            Operation::Env(text) => {
                for (name, value) in pairs(text, &|t| word(state, t))? {
                    state.set_env(&name, &value);
                }
            }
            Operation::Label(text) => {
                let labels = pairs(text, &|t| word(state, t))?;
                state.config.config.labels.get_or_insert_default().extend(labels);
            }
            Operation::Workdir(text) => {
                let path = joined(&state.config.config.working_dir, &word(state, text)?);
                state.config.config.working_dir = format!("/{path}");
                cached = self.workdir(state, &path)?;
            }
            Operation::User(text) => state.config.config.user = word(state, text)?,
            Operation::Expose(list) => {
                for text in list {
                    for port in word(state, text)?.split_whitespace() {
                        let port = if port.contains('/') { port.to_owned() } else { format!("{port}/tcp") };
                        state.config.config.exposed_ports.get_or_insert_default().insert(port, Empty {});
                    }
                }
            }
            Operation::Volume(list) => {
                for text in list {
                    let path = word(state, text)?;
                    state.config.config.volumes.get_or_insert_default().insert(path, Empty {});
                }
            }
            Operation::StopSignal(text) => state.config.config.stop_signal = word(state, text)?,
            Operation::Shell(list) => state.shell.clone_from(list),
            Operation::Cmd(args) => {
                state.config.config.cmd = Some(command(args, &state.shell));
                state.cmd_is_own = true;
            }
            Operation::Entrypoint(args) => {
                state.config.config.entrypoint = Some(command(args, &state.shell));
                // A new entrypoint makes the base's arguments meaningless.
                if !state.cmd_is_own {
                    state.config.config.cmd = None;
                }
            }
            Operation::Run(args) => cached = self.run(state, step, args)?,
            Operation::Copy(copy) => cached = self.copy(dockerfile, state, step, copy)?,
        }
        state.extend_key(&step.text);
        state.config.history.push(History {
            created: Some(object::time::seconds(self.build.now)),
            created_by: step.text.clone(),
            empty_layer: state.layers.len() == n_layers,
        });
        self.tell(&step.text, cached);
        Ok(())
    }

    /// The folders of a state's layers, unpacked.
    fn folders(&self, state: &State) -> Result<Vec<PathBuf>, Error> {
        state
            .layers
            .iter()
            .map(|layer| {
                self.store.unpack_layer(&layer.diff_id, &layer.blob)?;
                Ok(self.store.layer_path(&layer.diff_id))
            })
            .collect()
    }

    fn view(&self, state: &State) -> Result<View, Error> {
        View::open(&self.folders(state)?, self.build.scratch)
    }

    fn workdir(&mut self, state: &mut State, path: &str) -> Result<bool, Error> {
        let view = self.view(state)?;
        let place = view.resolve(path);
        if place.is_empty() || view.is_folder(&place) {
            return Ok(false);
        }
        let owner = owner_of(&view, &state.config.config.user).unwrap_or_default();
        drop(view);
        self.layer(state, &format!("workdir {place} {owner:?}"), &mut |_, layer| layer.folder(&place, owner))
    }

    /// Makes a layer, or finds the one an equal step made before. Answers whether it was found.
    fn layer(
        &mut self,
        state: &mut State,
        content: &str,
        fill: &mut dyn FnMut(&mut Self, &mut LayerWriter<'_>) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        let key = digest_of(format!("{}\n{content}", state.key).as_bytes()).to_string();
        if let Some(layer) = self.cache.get(self.store, &key) {
            state.layers.push(layer);
            return Ok(true);
        }
        let store = self.store;
        let mut writer = LayerWriter::new(store)?;
        fill(self, &mut writer)?;
        let layer = writer.finish()?;
        self.cache.put(key, &layer);
        state.layers.push(layer);
        Ok(false)
    }

    fn run(&mut self, state: &mut State, step: &Step, args: &Args) -> Result<bool, Error> {
        let (folders, args) = (self.folders(state)?, command(args, &state.shell));
        let mut env = state.env();
        if !env.iter().any(|e| e.starts_with("PATH=")) {
            env.push(format!("PATH={DEFAULT_PATH}"));
        }
        // ARGs are seen by RUN; ENV of the same name wins.
        let hidden: Vec<String> = state
            .args
            .iter()
            .filter(|(n, _)| !env.iter().any(|e| e.starts_with(&format!("{n}="))))
            .map(|(n, v)| format!("{n}={v}"))
            .collect();
        env.extend(hidden);
        let (working_dir, user) = (state.config.config.working_dir.clone(), state.config.config.user.clone());
        let content = format!("run {args:?} {env:?} {working_dir} {user}");
        self.layer(state, &content, &mut |own, layer| {
            let request = RunRequest {
                layers: &folders,
                args: args.clone(),
                env: env.clone(),
                working_dir: if working_dir.is_empty() { "/" } else { &working_dir },
                user: &user,
            };
            let mut kept = Ok(());
            let code = own.runner.run(&request, &mut |changes| kept = layer.upper(changes, ""));
            match code.map_err(|why| Error::Runtime { line: step.line, why })? {
                0 => kept,
                code => Err(Error::Run { line: step.line, command: step.text.clone(), code }),
            }
        })
    }

    fn copy(&mut self, dockerfile: &Dockerfile, state: &mut State, step: &Step, copy: &Copy) -> Result<bool, Error> {
        let fault = |why: String| Error::Dockerfile { line: step.line, why };
        let word = |text: &str| expand(text, &|n| state.variable(n)).map_err(fault);
        let sources = copy.sources.iter().map(|s| word(s)).collect::<Result<Vec<_>, _>>()?;
        let target = word(&copy.target)?;
        let scratch = self.build.scratch.join("from");
        let other = match &copy.from {
            None => None,
            Some(name) => Some(View::open(&self.other_folders(dockerfile, &word(name)?)?, &scratch)?),
        };
        let tree = match &other {
            None => Tree::context(self.build.context)?,
            Some(view) => Tree::whole(view.root())?,
        };
        let view = self.view(state)?;
        let owner = Owner {
            mode: copy
                .chmod
                .as_deref()
                .map(|m| word(m).and_then(|m| u32::from_str_radix(&m, 8).map_err(|_| fault(format!("--chmod `{m}` is not an octal mode")))))
                .transpose()?,
            ..match &copy.chown {
                Some(text) => owner_of(&view, &word(text)?).map_err(fault)?,
                None => Owner::default(),
            }
        };
        let files = plan(&tree, &view, &sources, &target, &state.config.config.working_dir, copy.unpacks).map_err(fault)?;
        drop(view);
        let mut content = format!("copy {owner:?}");
        for file in &files {
            content.push_str(&file.fingerprint(&tree)?);
        }
        self.layer(state, &content, &mut |_, layer| {
            for file in &files {
                file.write(&tree, layer, owner)?;
            }
            Ok(())
        })
    }

    /// The layers of another stage, or of an image.
    fn other_folders(&mut self, dockerfile: &Dockerfile, name: &str) -> Result<Vec<PathBuf>, Error> {
        match find_stage(dockerfile, name).and_then(|at| self.finished.get(&at)) {
            Some(state) => self.folders(state),
            None => Ok(self.runner.image(name)?.layers.clone()),
        }
    }
}

fn owner_of(view: &View, user: &str) -> Result<Owner, String> {
    if user.is_empty() {
        return Ok(Owner::default());
    }
    let (uid, gid) = view.owner(user)?;
    Ok(Owner { uid, gid, mode: None })
}

/// One thing a COPY brings: a path of the source tree and its place in the image.
struct File<'a> {
    from: &'a str,
    metadata: &'a fs::Metadata,
    to: String,
    unpack: bool,
}

impl File<'_> {
    fn fingerprint(&self, tree: &Tree) -> Result<String, Error> {
        use std::os::unix::fs::PermissionsExt;
        let path = tree.root.join(self.from);
        let failed = |e| Error::File("read", path.clone(), e);
        let content = if self.metadata.is_file() {
            digest_of(&fs::read(&path).map_err(failed)?).to_string()
        } else if self.metadata.is_symlink() {
            fs::read_link(&path).map_err(failed)?.display().to_string()
        } else {
            String::new()
        };
        Ok(format!("\n{} {:o} {content} {}", self.to, self.metadata.permissions().mode(), self.unpack))
    }

    fn write(&self, tree: &Tree, layer: &mut LayerWriter<'_>, owner: Owner) -> Result<(), Error> {
        let path = tree.root.join(self.from);
        if self.unpack { layer.archive(&path, &self.to) } else { layer.copy(&path, self.metadata, &self.to, Some(owner)) }
    }
}

/// Which files go where, by COPY's rules.
fn plan<'a>(
    tree: &'a Tree,
    view: &View,
    sources: &[String],
    target: &str,
    working_dir: &str,
    unpacks: bool,
) -> Result<Vec<File<'a>>, String> {
    let typed = joined(working_dir, target);
    let place = view.resolve(&typed);
    let mut found = Vec::new();
    for source in sources {
        let paths = tree.find(source);
        if paths.is_empty() {
            return Err(format!("`{source}`: not found in the build context"));
        }
        found.extend(paths);
    }
    let into_folder = target.ends_with('/') || target == "." || found.len() > 1 || view.is_folder(&place) || place.is_empty();
    if found.len() > 1 && !target.ends_with('/') && !view.is_folder(&place) && place.is_empty() {
        return Err(format!("`{target}`: several sources need a folder that ends with `/`"));
    }
    let mut files = Vec::new();
    for path in &found {
        let is_folder = path.is_empty() || tree.paths.get(path).is_some_and(fs::Metadata::is_dir);
        for (from, metadata) in tree.below(path) {
            let to = if is_folder {
                // The folder's content, not the folder.
                let rest = from[path.len()..].trim_start_matches('/');
                [place.as_str(), rest].iter().filter(|p| !p.is_empty()).copied().collect::<Vec<_>>().join("/")
            } else if into_folder {
                let name = from.rsplit('/').next().unwrap_or(from);
                if place.is_empty() { name.to_owned() } else { format!("{place}/{name}") }
            } else {
                view.entry(&typed)
            };
            if to.is_empty() {
                continue;
            }
            let unpack = unpacks && !is_folder && metadata.is_file() && is_archive(&tree.root.join(from));
            files.push(File { from, metadata, to: if unpack { place.clone() } else { to }, unpack });
        }
    }
    Ok(files)
}

fn is_archive(path: &Path) -> bool {
    let name = path.to_string_lossy();
    [".tar", ".tar.gz", ".tgz", ".tar.zst"].iter().any(|end| name.ends_with(end))
}

/// `path` below `folder`, unless it is absolute.
fn joined(folder: &str, path: &str) -> String {
    if path.starts_with('/') { clean(path) } else { clean(&format!("{folder}/{path}")) }
}

fn command(args: &Args, shell: &[String]) -> Vec<String> {
    match args {
        Args::Exec(list) => list.clone(),
        Args::Shell(text) => shell.iter().cloned().chain([text.clone()]).collect(),
    }
}

/// `ARG name` or `ARG name=default`: what the caller gave wins over the default; a global one is inherited only by name.
fn declare(
    text: &str,
    args: &mut BTreeMap<String, String>,
    given: &BTreeMap<String, String>,
    globals: &BTreeMap<String, String>,
) -> Result<(), String> {
    for word in words(text) {
        let (name, default) = word.split_once('=').map_or((word.as_str(), None), |(n, d)| (n, Some(d)));
        let default = default.map(|d| expand(d, &|n| args.get(n).cloned())).transpose()?;
        if let Some(value) = given.get(name).cloned().or(default).or_else(|| globals.get(name).cloned()) {
            args.insert(name.to_owned(), value);
        }
    }
    for name in PREDEFINED_ARGS {
        if let Some(value) = given.get(name) {
            args.insert(name.to_owned(), value.clone());
        }
    }
    Ok(())
}

/// `a=b c="d e"`, or the old form `a everything else`.
fn pairs(text: &str, word: &dyn Fn(&str) -> Result<String, Error>) -> Result<Vec<(String, String)>, Error> {
    let words = words(text);
    let old_form = words.first().is_some_and(|w| !w.contains('='));
    if old_form {
        let (name, value) = text.trim().split_once(char::is_whitespace).unwrap_or((text, ""));
        return Ok(vec![(word(name)?, word(value.trim())?)]);
    }
    words
        .iter()
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((word(name)?, word(value)?))
        })
        .collect()
}

fn finish(store: &ImageStore, build: &Build<'_>, mut state: State) -> Result<Built, Error> {
    state.config.created = Some(object::time::seconds(build.now));
    state.config.rootfs.diff_ids = state.layers.iter().map(|l| l.diff_id.clone()).collect();
    if state.config.config.env.is_none() {
        state.config.config.env = Some(vec![format!("PATH={DEFAULT_PATH}")]);
    }
    let to_json =
        |what: &str, result: serde_json::Result<Vec<u8>>| result.map_err(|e| oci_image::Error::Malformed(what.to_owned(), e.to_string()));
    let config = store.put_blob(&to_json("the configuration", serde_json::to_vec(&state.config))?)?;
    let size = store.blob_size(&config).unwrap_or(0);
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media::MANIFEST.to_owned()),
        config: Descriptor {
            media_type: media::CONFIG.to_owned(),
            digest: config.clone(),
            size,
            platform: None,
            annotations: BTreeMap::new(),
        },
        layers: state.layers.into_iter().map(|l| l.blob).collect(),
    };
    let digest = store.put_blob(&to_json("the manifest", serde_json::to_vec(&manifest))?)?;
    store.unpack(&manifest)?;
    build.tags.iter().try_for_each(|tag| store.tag(tag, &digest))?;
    Ok(Built { id: config, manifest: digest })
}

/// Layers by what made them, kept beside the images.
struct Cache {
    path: PathBuf,
    layers: BTreeMap<String, CachedLayer>,
}

#[derive(Serialize, Deserialize)]
struct CachedLayer {
    diff_id: Digest,
    blob: Descriptor,
}

impl Cache {
    fn load(store: &ImageStore) -> Self {
        let path = store.build_cache_path();
        let layers = fs::read(&path).ok().and_then(|content| serde_json::from_slice(&content).ok()).unwrap_or_default();
        Cache { path, layers }
    }

    /// The layer, if its blob was not collected since.
    fn get(&self, store: &ImageStore, key: &str) -> Option<Layer> {
        let cached = self.layers.get(key)?;
        store.blob_size(&cached.blob.digest)?;
        Some(Layer { diff_id: cached.diff_id.clone(), blob: cached.blob.clone() })
    }

    fn put(&mut self, key: String, layer: &Layer) {
        self.layers.insert(key, CachedLayer { diff_id: layer.diff_id.clone(), blob: layer.blob.clone() });
    }

    /// A cache that cannot be kept costs time, not correctness.
    fn save(&self) {
        if let Ok(content) = serde_json::to_vec(&self.layers) {
            let _ = fs::write(&self.path, content);
        }
    }
}
