// Package report writes what people look at after a run: montages of pictures
// ([Sheet], with boxes and masks [ClassSheet] and [BoxMistakes]), the curves and matrices of a run directory ([Plots]), results.csv
// ([WriteCSV]) and report.html ([HTML]).
//
// It takes plain data and writes files. Every file appears under its name only
// when it is complete, and the same data gives the same bytes. What is missing
// or not a number is left out, never drawn as an empty plot or as "NaN".
package report
