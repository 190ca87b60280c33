//! API types of longshore.dev/v1alpha1: one kind per file, validated names, conditions.
