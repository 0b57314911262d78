//! Topic Names, Topic Filters, and trees of either (sections 4.7 and 4.8).
//!
//! Text from the wire becomes a [`TopicName`], a [`TopicFilter`] or a [`SubscriptionFilter`] once,
//! by `parse`; whoever holds one of these need not check it again. A [`TopicPattern`] is a filter that
//! names what its wildcards match, for the application in the process. Two trees find the filters that
//! match a name ([`FilterTree`], for subscriptions) and the names that match a filter
//! ([`NameTree`], for retained messages).
//!
//! Both trees answer in the order of the levels: texts compare by their first levels, then by their
//! second, and so on, each level by its bytes (wildcards too); a text comes before those that it
//! begins.
//!
//! All text is hostile: a name may have 65,536 levels. Nothing here recurses over levels, a tree
//! visits each of its nodes at most once per question, and equal operations give equal answers in
//! equal order.
//!
//! What does not belong here: well-formed UTF-8 (a `&str` already is), what a subscription carries
//! besides its filter, who may use a topic, and which member of a Shared Subscription is served.

mod arena;
mod cover;
mod error;
mod filter;
mod filter_tree;
mod name;
mod name_tree;
mod pattern;
#[cfg(test)]
mod testing;

pub use error::TopicError;
pub use filter::{ShareName, SubscriptionFilter, TopicFilter, is_shared};
pub use filter_tree::FilterTree;
pub use name::TopicName;
pub use name_tree::NameTree;
pub use pattern::{PatternError, TopicPattern};
