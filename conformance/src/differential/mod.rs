//! Two brokers side by side: the same scripts on both, what of it has to be alike, and what explains
//! the difference where it is not; and the portrait of one: what it does where the standard leaves it
//! open.

mod beside;
mod compare;
mod drawn;
mod explain;
mod fit;
mod generate;
mod known;
mod looks_like;
mod observed;
mod parallel;
mod portrait;
mod search;
mod seeing;
mod shrink;
mod side_by_side;

pub(crate) use beside::violations;
pub use beside::{Beside, Divergence, Divergences, Took, config_of};
pub use compare::{Difference, differences};
pub use drawn::{Drawn, Mixed, drawn, mixed};
pub use explain::{Evidence, Explanation, FreeChoice};
pub use generate::{Generator, Worlds};
pub use known::{KnownDivergence, KnownDivergences};
pub use looks_like::{look_alikes, name_look_alikes};
pub use observed::Observed;
pub(crate) use observed::TAKEN_OVER;
pub use portrait::{
    Answer, Asking, Choice, Portrait, Question, paint, questions, script_for, unasked,
};
pub use search::{Case, Found, cases, first_difference};
pub use shrink::{Shrinker, shrink};
pub use side_by_side::side_by_side;
