//! What a statement is: lexer, fingerprint, classification.
