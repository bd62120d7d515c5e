//! The bodies on both sides of the inner service.

mod kept;
mod request;
mod response;
mod rest;
mod tap;

pub use request::RequestBody;
pub use response::ResponseBody;

pub(super) use kept::KeptBody;
pub(super) use tap::Exchange;

use rest::Rest;
use tap::Tap;
