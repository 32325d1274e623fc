mod faults;
mod link;
mod patients;
mod support;
mod taking;
