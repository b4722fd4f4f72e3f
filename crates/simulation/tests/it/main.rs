mod certificates;
mod command;
mod crowd;
mod nodes;
mod scripts;
mod seeds;
mod table;
