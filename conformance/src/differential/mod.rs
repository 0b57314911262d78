//! Two brokers side by side: the same scripts on both, what of it has to be alike, and what explains
//! the difference where it is not.

mod beside;
mod compare;
mod drawn;
mod explain;
mod generate;
mod observed;
mod search;
mod shrink;

pub use beside::{Beside, Divergences, config_of};
pub use compare::{Difference, differences};
pub use drawn::{Drawn, drawn};
pub use explain::{Evidence, Explanation, explain};
pub use generate::Generator;
pub use observed::Observed;
pub use search::{Case, Found, cases, first_difference};
pub use shrink::{Shrinker, shrink};
