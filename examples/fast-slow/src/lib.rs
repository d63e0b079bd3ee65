//! The fast/slow workload as an instrumented Lambda function.
