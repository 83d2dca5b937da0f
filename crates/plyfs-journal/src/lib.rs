//! A crash-safe key/value log shared by many processes
