//! Shared helpers of the tests that need real servers.
