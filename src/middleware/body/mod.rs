//! The bodies on both sides of the inner service.

mod request;
mod response;
mod rest;

pub use request::RequestBody;
pub use response::ResponseBody;

use rest::Rest;
