//! Requests, pages and the ragged batch: which tokens run in a step. Pure, no GPU.
