//! How the rest of the process speaks to the engine: by messages to the one thread that owns it.

use tokio::sync::{mpsc, oneshot};

use crate::engine::{Explanation, GroupView, Holdings, LoadError, Profiles};
use crate::rules::RuleSet;

/// What the engine's owner is asked.
#[derive(Debug)]
pub enum Command {
    /// Groups, rules and alerts as they are now.
    Groups(oneshot::Sender<Vec<GroupView>>),
    /// How much the engine holds.
    Holdings(oneshot::Sender<Holdings>),
    /// What models say, see [`crate::engine::Engine::explain`].
    Explain {
        /// The rule's name.
        rule: String,
        /// Labels of the elements.
        labels: Vec<(String, String)>,
        /// Most explanations.
        most: usize,
        /// They.
        reply: oneshot::Sender<Vec<Explanation>>,
    },
    /// Put these rules in force.
    Load {
        /// The rules.
        rules: RuleSet,
        /// Profiles that they may name.
        profiles: Profiles,
        /// What came of it.
        reply: oneshot::Sender<Result<(), Vec<LoadError>>>,
    },
}

/// The engine's thread has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the engine has shut down")]
pub struct EngineGone;

/// Sends commands to the engine.
#[derive(Clone, Debug)]
pub struct EngineHandle {
    commands: mpsc::Sender<Command>,
}

impl EngineHandle {
    /// A handle, and the end at which the engine's owner receives.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Command>) {
        // Commands are answered between batches; a handful may wait.
        let (commands, receiver) = mpsc::channel(16);
        (Self { commands }, receiver)
    }

    /// Groups, rules and alerts as they are now.
    ///
    /// # Errors
    /// The engine has shut down.
    pub async fn groups(&self) -> Result<Vec<GroupView>, EngineGone> {
        self.ask(Command::Groups).await
    }

    /// How much the engine holds.
    ///
    /// # Errors
    /// The engine has shut down.
    pub async fn holdings(&self) -> Result<Holdings, EngineGone> {
        self.ask(Command::Holdings).await
    }

    /// What models say, see [`crate::engine::Engine::explain`].
    ///
    /// # Errors
    /// The engine has shut down.
    pub async fn explain(
        &self,
        rule: String,
        labels: Vec<(String, String)>,
        most: usize,
    ) -> Result<Vec<Explanation>, EngineGone> {
        self.ask(|reply| Command::Explain { rule, labels, most, reply }).await
    }

    /// Puts rules in force.
    ///
    /// # Errors
    /// The engine has shut down; within: every rule that could not be loaded, the old ones being in force still.
    pub async fn load(&self, rules: RuleSet, profiles: Profiles) -> Result<Result<(), Vec<LoadError>>, EngineGone> {
        self.ask(|reply| Command::Load { rules, profiles, reply }).await
    }

    async fn ask<R>(&self, command: impl FnOnce(oneshot::Sender<R>) -> Command) -> Result<R, EngineGone> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| EngineGone)?;
        answer.await.map_err(|_| EngineGone)
    }
}
