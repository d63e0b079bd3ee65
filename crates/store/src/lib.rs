//! The only room that talks S3 and DynamoDB.
