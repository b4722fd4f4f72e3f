//! Flags as they are typed. What they mean together is `options`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "coracle",
    version,
    about = "Kubernetes v1.37 in one binary",
    disable_help_subcommand = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Start a cluster in the background and make kubectl use it
    Up(ClusterFlags),
    /// Run the cluster in the foreground, for a service manager
    Server(ClusterFlags),
    /// Join this host to a cluster as a node, in the foreground
    Agent(AgentFlags),
    /// Print a token with which a host joins, valid for a day
    Token(NameFlags),
    /// Say what runs and where
    Status(NameFlags),
    /// Stop the cluster and its pods; its state is kept
    Down(NameFlags),
    /// Stop the cluster and remove everything it ever made on this host
    Reset(ResetFlags),
    /// Build an image from a Dockerfile
    Build(BuildFlags),
    /// List, pull, import, push, serve and remove images
    Image(ImageFlags),
    /// Build, push, deploy, break and heal a chat: the whole story
    Demo(ClusterFlags),
}

#[derive(Args, Clone)]
pub(crate) struct NameFlags {
    /// Which cluster
    #[arg(long, global = true, default_value = "default")]
    pub(crate) name: String,
    /// Where its state lies [default: /var/lib/coracle/NAME]
    #[arg(long, global = true, env = "CORACLE_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Args, Clone)]
pub(crate) struct ClusterFlags {
    #[command(flatten)]
    pub(crate) which: NameFlags,
    /// Kubeconfig to merge the cluster into [default: first of $KUBECONFIG, or ~/.kube/config]
    #[arg(long)]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Port of the API server
    #[arg(long, default_value_t = 6443)]
    pub(crate) api_port: u16,
    /// Pod address ranges, IPv4 and IPv6
    #[arg(long, default_value = "10.244.0.0/16,fd00:10:244::/56")]
    pub(crate) pod_cidr: String,
    /// Service address ranges, IPv4 and IPv6
    #[arg(long, default_value = "10.96.0.0/16,fd00:10:96::/112")]
    pub(crate) service_cidr: String,
    /// Port of the built-in image registry, on loopback
    #[arg(long, default_value_t = 32000)]
    pub(crate) registry_port: u16,
    /// Port of the node's own server, which the API server calls for logs and commands
    #[arg(long, default_value_t = 10250)]
    pub(crate) kubelet_port: u16,
    /// Name of this node [default: the host name]
    #[arg(long)]
    pub(crate) node_name: Option<String>,
    /// Address other nodes reach this one at [default: that of the default route, or of the first link]
    #[arg(long, value_delimiter = ',')]
    pub(crate) node_ip: Vec<std::net::IpAddr>,
    /// Controllers to run: `*` is all, `*,-scheduler` all but one, which another program may then be
    #[arg(long, default_value = "*", allow_hyphen_values = true)]
    pub(crate) controllers: String,
    /// More to say on standard error: trace, debug, info, warn, error
    #[arg(long, default_value = "info", env = "CORACLE_LOG")]
    pub(crate) log: String,
}

#[derive(Args, Clone)]
pub(crate) struct AgentFlags {
    #[command(flatten)]
    pub(crate) which: NameFlags,
    /// A server's address: https://HOST:6443
    #[arg(long)]
    pub(crate) server: String,
    /// What `coracle token` printed on the server; needed at the first start only
    #[arg(long, env = "CORACLE_TOKEN")]
    pub(crate) token: Option<String>,
    /// Port of the node's own server, which the API server calls for logs and commands
    #[arg(long, default_value_t = 10250)]
    pub(crate) kubelet_port: u16,
    /// Name of this node [default: the host name]
    #[arg(long)]
    pub(crate) node_name: Option<String>,
    /// Address other nodes reach this one at [default: that of the default route]
    #[arg(long, value_delimiter = ',')]
    pub(crate) node_ip: Vec<std::net::IpAddr>,
    /// More to say on standard error: trace, debug, info, warn, error
    #[arg(long, default_value = "info", env = "CORACLE_LOG")]
    pub(crate) log: String,
}

#[derive(Args, Clone)]
pub(crate) struct ResetFlags {
    #[command(flatten)]
    pub(crate) which: NameFlags,
    /// Kubeconfig to take the cluster out of [default: first of $KUBECONFIG, or ~/.kube/config]
    #[arg(long)]
    pub(crate) kubeconfig: Option<PathBuf>,
}

#[derive(Args, Clone)]
pub(crate) struct BuildFlags {
    #[command(flatten)]
    pub(crate) which: NameFlags,
    /// Folder that holds the Dockerfile and what it copies
    pub(crate) context: PathBuf,
    /// Name of the image; several are allowed
    #[arg(short = 't', long = "tag")]
    pub(crate) tags: Vec<String>,
    /// Dockerfile [default: CONTEXT/Dockerfile]
    #[arg(short = 'f', long)]
    pub(crate) file: Option<PathBuf>,
    /// Value of an ARG: NAME=VALUE
    #[arg(long = "build-arg")]
    pub(crate) build_args: Vec<String>,
    /// Stop at this stage
    #[arg(long)]
    pub(crate) target: Option<String>,
    /// Push to the registry that the tag names
    #[arg(long)]
    pub(crate) push: bool,
}

#[derive(Args, Clone)]
pub(crate) struct ImageFlags {
    #[command(flatten)]
    pub(crate) which: NameFlags,
    #[command(subcommand)]
    pub(crate) action: ImageAction,
}

#[derive(Subcommand, Clone)]
pub(crate) enum ImageAction {
    /// List the images this host has
    Ls,
    /// Fetch an image from its registry
    Pull { image: String },
    /// Send an image to the registry its name says
    Push { image: String },
    /// Read a docker or OCI archive, or an OCI folder
    Import { path: PathBuf },
    /// Serve this host's images to others, as a mirror of the registries they come from; in the foreground
    Serve {
        /// ADDRESS:PORT to listen on, in plain HTTP
        #[arg(long)]
        listen: std::net::SocketAddr,
        /// NAME:PASSWORD that clients must give
        #[arg(long)]
        login: Option<String>,
    },
    /// Forget images; layers nobody uses go with them
    Rm { images: Vec<String> },
}
