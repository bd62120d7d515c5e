//! The bodies on both sides of the inner service.

mod kept;
mod request;
mod response;
mod rest;

pub use request::RequestBody;
pub use response::ResponseBody;

pub(super) use kept::KeptBody;

use rest::Rest;
