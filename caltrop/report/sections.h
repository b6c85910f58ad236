// The sections of the page, each as a piece of HTML. Every one escapes what it shows.
#pragma once

#include <string>

#include "caltrop/report/load.h"

namespace caltrop {

std::string verdict_section(const Proof& proof);   // page_verdict.cc
std::string curves_section(const Proof& proof);    // page_curves.cc
std::string examples_section(const Proof& proof);  // page_examples.cc
std::string cost_section(const Proof& proof);      // page_models.cc
std::string failed_section(const Proof& proof);    // page_record.cc; "" if every cell has a result
std::string glossary_section(const Proof& proof);  // page_record.cc
std::string record_section(const Proof& proof);    // page_record.cc

/// The definitions of the marks that outcome_badge refers to; once a page.
std::string icon_definitions();
/// An outcome as a coloured word with a mark, so that colour is never alone.
std::string outcome_badge(const std::string& arm, const std::string& outcome);
/// <td data-label=…>: on a phone the label stands beside the value.
std::string labelled_cell(const std::string& label, const std::string& html);
/// Text of unknown direction, isolated from what stands around it.
std::string isolated(const std::string& text);

}  // namespace caltrop
