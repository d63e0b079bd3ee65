//! `flambeau token`: tokens of a deployment that asks for one.

use anyhow::Context;
use clap::Args;
use flambeau_layout::TenantId;
use flambeau_render::access::Secret;
use flambeau_store::{ErrorKind, SecretPlace};

use crate::exit::Exit;

/// Where the secret of a deployment is, and whose profiles it opens.
#[derive(Debug, Args)]
pub(crate) struct Keys {
    /// Where tokens are kept: `secretsmanager:NAME` or `file:PATH`.
    #[arg(long = "secret", value_name = "PLACE", env = "FLAMBEAU_SECRET")]
    place: SecretPlace,
    /// Whose profiles are opened.
    #[arg(long, env = "FLAMBEAU_TENANT", default_value = "default")]
    pub(crate) tenant: TenantId,
}

impl Keys {
    pub(crate) async fn read(&self) -> anyhow::Result<Secret> {
        let text = self.place.read().await?;
        Secret::parse(&text).with_context(|| format!("read {}", self.place))
    }

    /// Reads the secret, or makes one with a key for links where there is none.
    async fn read_or_make(&self) -> anyhow::Result<Secret> {
        match self.place.read().await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Secret::new()?),
            Ok(text) if text.trim().is_empty() => Ok(Secret::new()?),
            text => Secret::parse(&text?).with_context(|| format!("read {}", self.place)),
        }
    }

    async fn write(&self, secret: &Secret) -> anyhow::Result<()> {
        Ok(self.place.write(&secret.to_json()?).await?)
    }
}

/// Arguments of `token`.
#[derive(Debug, Args)]
pub(crate) struct Token {
    /// To whom it is given; whoever had this name before loses theirs.
    #[arg(long, required_unless_present = "list")]
    name: Option<String>,
    /// Take the token of this name away.
    #[arg(long, requires = "name")]
    remove: bool,
    /// List the names there are tokens for.
    #[arg(long, conflicts_with = "name")]
    list: bool,
    #[command(flatten)]
    keys: Keys,
}

impl Token {
    pub(crate) async fn run(self) -> anyhow::Result<Exit> {
        let Some(name) = self.name.as_deref().filter(|_| !self.list) else {
            return self.print_names().await;
        };
        let tenant = &self.keys.tenant;
        if self.remove {
            let mut secret = self.keys.read().await?;
            anyhow::ensure!(
                secret.remove_token(name, tenant),
                "nobody named `{name}` has a token for tenant `{tenant}`; --list lists who has"
            );
            self.keys.write(&secret).await?;
            return Ok(Exit::Ok);
        }
        let mut secret = self.keys.read_or_make().await?;
        let token = secret.add_token(name, tenant)?;
        self.keys.write(&secret).await?;
        println!("{token}");
        eprintln!("this is the only time it is shown; it holds from the next minute on");
        Ok(Exit::Ok)
    }

    async fn print_names(&self) -> anyhow::Result<Exit> {
        for entry in self.keys.read().await?.tokens {
            println!("{}\t{}", entry.tenant, entry.name);
        }
        Ok(Exit::Ok)
    }
}
