//! One machine: embedded S3 and DynamoDB, the event pump, the Lambda lifecycle.
