#pragma once
/// @file
/// Marks what the shared library exports; everything else in it is hidden.
#define SNAKEPIT_API __attribute__((visibility("default")))
